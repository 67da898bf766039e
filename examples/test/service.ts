// The running services that the examples are tried against, and what is asked of them beside.
import { expect, inject } from "vitest";

export const SERVICE = inject("service");
/** A second service that lets nobody do anything: its limit is used up. */
export const EXHAUSTED = inject("exhausted");
/** A service token of the first: scope `issue`, and a limit of its own. */
export const SERVICE_TOKEN = inject("serviceToken");
/** Where nobody listens. */
export const NOWHERE = "http://127.0.0.1:1";

export async function expectActive(identity: string, token?: string): Promise<void> {
  const response = await fetch(`${SERVICE}/api/v1/validate`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(token ? { identity, token } : { identity }),
  });
  expect(await response.json()).toMatchObject({ identity, valid: true, status: "active" });
}
