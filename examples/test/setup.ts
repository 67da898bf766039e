// Starts the services that the examples are tried against, and ends them after the tests.
import type { TestProject } from "vitest/node";
import { KEYS, serviceToken, startService } from "../../tests/support/service.mjs";

declare module "vitest" {
  export interface ProvidedContext {
    service: string;
    exhausted: string;
    serviceToken: string;
  }
}

export default async function setup({ provide }: TestProject) {
  const service = await startService({ ...KEYS, PROTECTED_PREFIXES: "player", RATE_LIMIT_REQUESTS: "140" });
  const exhausted = await startService({ RATE_LIMIT_REQUESTS: "1" });
  await fetch(`${exhausted.url}/api/v1/id`); // its only request of the hour
  provide("service", service.url);
  provide("exhausted", exhausted.url);
  provide("serviceToken", serviceToken("examples", "issue"));
  process.env.IDENTITY_SERVICE = service.url; // the backend reads it, as it does in production
  return async () => {
    await service.stop();
    await exhausted.stop();
  };
}
