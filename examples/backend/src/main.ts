// The sports-book's backend: POST /sessions/PLAYER opens a session under a disposable identity, GET /sessions lists them.
// IDENTITY_SERVICE is where the identity service answers, PORT where this one does.
import { createServer, type ServerResponse } from "node:http";
import { IdentityServiceError, LOCAL_URL } from "../../shared/identity.js";
import type { Database } from "./auth/identity.js";

process.env.IDENTITY_SERVICE ||= LOCAL_URL;
const { createPlayerSession } = await import("./auth/identity.js"); // reads IDENTITY_SERVICE

type Session = Parameters<Database["playerSession"]["create"]>[0]["data"];

/** A stand-in for the database: it keeps the rows as long as the process lives. */
const sessions: Session[] = [];
const db: Database = { playerSession: { create: async ({ data }) => sessions.push(data) } };

function answer(response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(status, { "Content-Type": "application/json", ...headers });
  response.end(`${JSON.stringify(body)}\n`);
}

/** What a caller of the backend learns of a fault of the identity service: what to change, or when to try again. */
function answerFault(response: ServerResponse, error: unknown): void {
  if (!(error instanceof IdentityServiceError)) {
    console.error(error);
    return answer(response, 500, { detail: "The backend has failed." });
  }
  if (error.status === 400) return answer(response, 400, { detail: error.message });
  const wait = error.retryAfter;
  const headers: Record<string, string> = wait === undefined ? {} : { "Retry-After": String(wait) };
  const when = wait === undefined ? "in a moment" : `in ${wait} seconds`;
  answer(response, 503, { detail: `There is no identity now; try again ${when}.` }, headers);
}

/** The player in a path, or undefined where it is another path or not decodable. */
function playerOf(path: string): string | undefined {
  const [, segment] = /^\/sessions\/([^/]+)$/.exec(path) ?? [];
  try {
    return segment && decodeURIComponent(segment);
  } catch {
    return undefined;
  }
}

const server = createServer(async (request, response) => {
  const { pathname } = new URL(request.url ?? "/", "http://backend");
  const player = playerOf(pathname);
  if (request.method === "GET" && pathname === "/sessions") return answer(response, 200, { sessions });
  if (request.method !== "POST" || player === undefined)
    return answer(response, 404, { detail: "POST /sessions/PLAYER opens a session; GET /sessions lists them." });
  try {
    const { id, expires } = await createPlayerSession(player, db);
    answer(response, 201, { player, identity: id, expires });
  } catch (error) {
    answerFault(response, error);
  }
});

server.listen(Number(process.env.PORT || 8080), "127.0.0.1", () => {
  const { port } = server.address() as { port: number };
  console.log(`The backend serves on http://localhost:${port}, with identities of ${process.env.IDENTITY_SERVICE}.`);
  console.log(`Try: curl -X POST http://localhost:${port}/sessions/123456`);
});
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.once(signal, () => {
    server.close();
    server.closeAllConnections();
  });
