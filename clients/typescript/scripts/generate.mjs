// Writes src/openapi.ts, the types of the API, from the OpenAPI document of this checkout's service.
// With --check it writes nothing, and fails where the file is stale. SERVICE_PYTHON names another interpreter than .venv's.
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import openapiTS, { astToString } from "openapi-typescript";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const file = fileURLToPath(new URL("../src/openapi.ts", import.meta.url));
const python = process.env.SERVICE_PYTHON || `${root}.venv/bin/python`;

const document = execFileSync(python, ["-m", "arsenal_fast", "openapi"], { cwd: root, encoding: "utf8" });
const head = "// Made by `npm run generate` of the OpenAPI document; do not edit.\n\n";
const types = head + astToString(await openapiTS(document));

if (!process.argv.includes("--check")) writeFileSync(file, types);
else if (readFileSync(file, "utf8") !== types) {
  console.error("src/openapi.ts is stale: call npm run generate in clients/typescript.");
  process.exitCode = 1;
}
