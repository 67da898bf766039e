import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { test } from "vitest";

test("src/openapi.ts is of the OpenAPI document as it is now", () => {
  const script = fileURLToPath(new URL("../scripts/generate.mjs", import.meta.url));
  execFileSync(process.execPath, [script, "--check"], { stdio: ["ignore", "pipe", "pipe"] });
}, 60_000);
