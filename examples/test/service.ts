// The running service that the examples are tried against, and what is asked of it beside them.
import { expect } from "vitest";

function required(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} must be set: tests/deploy/test_examples.py does it.`);
  return value;
}

export const SERVICE = required("IDENTITY_SERVICE");
/** A second service that lets nobody do anything: its limit is used up. */
export const EXHAUSTED = required("IDENTITY_SERVICE_EXHAUSTED");
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
