// Starts the services that the examples are tried against, on free ports, and ends them after the tests.
// They run from the repository's own environment, which `make run` makes; PYTHON names another interpreter.
import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import type { TestProject } from "vitest/node";

declare module "vitest" {
  export interface ProvidedContext {
    service: string;
    exhausted: string;
    serviceToken: string;
  }
}

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const START_TIMEOUT_MS = 20_000;
/** What service and token must have in common. */
const KEYS = { JWT_SECRET: "a-secret-of-the-examples-and-of-nobody-else", API_BASE_URL: "http://localhost:3655" };

function python(): string {
  const own = process.env.PYTHON || `${ROOT}.venv/bin/python`;
  if (!existsSync(own)) throw new Error(`There is no ${own}: call make run once, which makes it, or set PYTHON.`);
  return own;
}

function environment(variables: Record<string, string>): Record<string, string> {
  return { PATH: process.env.PATH ?? "", HOST: "127.0.0.1", DATABASE_URL: "none", DRAIN_DELAY: "0", ...variables };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** A service that serves; rejects with its log where it ends or is late. */
async function start(variables: Record<string, string>): Promise<{ url: string; process: ChildProcess }> {
  const port = await freePort();
  const env = environment({ ...variables, PORT: String(port) });
  const service = spawn(python(), ["-m", "arsenal_fast", "serve"], { cwd: ROOT, env, stdio: ["ignore", "pipe", "pipe"] });
  let log = "";
  await new Promise<void>((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`The service does not start: ${log}`)), START_TIMEOUT_MS);
    const read = (piece: Buffer) => {
      log += piece;
      if (log.includes("serving on")) resolve(clearTimeout(late));
    };
    service.stdout.on("data", read);
    service.stderr.on("data", read);
    service.on("exit", (status) => reject(new Error(`The service has ended (${status}): ${log}`)));
  });
  return { url: `http://127.0.0.1:${port}`, process: service };
}

export default async function setup({ provide }: TestProject) {
  const service = await start({ ...KEYS, PROTECTED_PREFIXES: "player", RATE_LIMIT_REQUESTS: "140" });
  const exhausted = await start({ RATE_LIMIT_REQUESTS: "1" });
  await fetch(`${exhausted.url}/api/v1/id`); // its only request of the hour
  const mint = ["-m", "arsenal_fast", "token", "--subject", "examples", "--scope", "issue", "--rate-limit", "100000"];
  const token = execFileSync(python(), [...mint, "--days", "1"], {
    cwd: ROOT,
    env: environment(KEYS),
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
  provide("service", service.url);
  provide("exhausted", exhausted.url);
  provide("serviceToken", token.trim());
  process.env.IDENTITY_SERVICE = service.url; // the backend reads it, as it does in production

  return async () => {
    for (const { process: each } of [service, exhausted]) {
      const ended = once(each, "exit");
      each.kill("SIGTERM");
      await ended;
    }
  };
}
