// Starts the service that the client is tried against, and ends it after the tests.
import type { TestProject } from "vitest/node";
import { KEYS, serviceToken, startService } from "../../../tests/support/service.mjs";

declare module "vitest" {
  export interface ProvidedContext {
    service: string;
    exhausted: string;
    serviceToken: string;
  }
}

export default async function setup({ provide }: TestProject) {
  const service = await startService(KEYS);
  const exhausted = await startService({ RATE_LIMIT_REQUESTS: "1" });
  await fetch(`${exhausted.url}/api/v1/id`); // its only request of the hour
  provide("service", service.url);
  provide("exhausted", exhausted.url);
  provide("serviceToken", serviceToken("typescript-client", "issue,revoke"));
  return async () => {
    await service.stop();
    await exhausted.stop();
  };
}
