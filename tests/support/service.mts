// The service for tests in TypeScript: `python -m arsenal_fast serve` on a free port of 127.0.0.1.
// It runs from the repository's own environment, which `make run` makes; SERVICE_PYTHON names another interpreter.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const START_TIMEOUT_MS = 20_000;

/** What a service and the tokens that it takes must have in common. */
export const KEYS = {
  JWT_SECRET: "a-secret-of-the-tests-and-of-nobody-else",
  API_BASE_URL: "https://identity.api.yourbook.com",
};

export interface Service {
  url: string;
  /** SIGTERM; resolves when it has ended. */
  stop(): Promise<void>;
}

function python(): string {
  const own = process.env.SERVICE_PYTHON || `${ROOT}.venv/bin/python`;
  if (!existsSync(own)) throw new Error(`There is no ${own}: call make run once, which makes it, or set SERVICE_PYTHON.`);
  return own;
}

/** These variables, and of the shell's only what any program needs; no ledger unless a test names one. */
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

/** Start a service with these variables and wait until it serves; rejects with its log where it does not. */
export async function startService(variables: Record<string, string> = {}): Promise<Service> {
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
  return {
    url: `http://127.0.0.1:${port}`,
    async stop() {
      const ended = once(service, "exit");
      service.kill("SIGTERM");
      await ended;
    },
  };
}

/** What a command of `arsenal-fast` writes to stdout. */
export function arsenalFast(...command: string[]): string {
  return execFileSync(python(), ["-m", "arsenal_fast", ...command], {
    cwd: ROOT,
    env: environment(KEYS),
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
}

/** A service token of a service with KEYS; its limit is 100,000 requests a window. */
export function serviceToken(subject: string, scope: string): string {
  const names = ["--subject", subject, "--scope", scope, "--rate-limit", "100000", "--days", "1"];
  return arsenalFast("token", ...names).trim();
}
