// node:http and ioredis with auto-pipelining.

import { createServer } from "node:http";

import { Redis } from "ioredis";

import { FIXED_HEADERS, Refusal, makeService, problem } from "./service.mjs";

const redis = new Redis(process.env.REDIS_URL, { enableAutoPipelining: true });
const service = makeService(redis);
const FIXED = Object.entries(FIXED_HEADERS).flat(); // names and values in turn: node writes such a list as it is

function send(response, status, body, more = []) {
  const length = Buffer.byteLength(body);
  response.writeHead(status, [...FIXED, "Content-Length", `${length}`, ...more]).end(body);
}

function respond(response, { body, remaining, reset }) {
  send(response, 200, body, ["X-RateLimit-Remaining", `${remaining}`, "X-RateLimit-Reset", `${reset}`]);
}

function refuse(response, fault) {
  if (fault instanceof SyntaxError) return refuse(response, new Refusal(400, "The body is not JSON."));
  if (!(fault instanceof Refusal)) throw fault;
  return send(response, fault.status, problem(fault));
}

function readJson(request) {
  return new Promise((resolve, reject) => {
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("error", reject);
    request.on("end", () => {
      try {
        resolve(JSON.parse(chunks.length === 1 ? chunks[0] : Buffer.concat(chunks)));
      } catch (fault) {
        reject(fault);
      }
    });
  });
}

const forwarded = (request) => request.headers["x-forwarded-for"];

const ROUTES = {
  "GET /api/v1/id": (request) => service.id(request.url, forwarded(request)),
  "POST /api/v1/identities": (request) =>
    readJson(request).then((document) => service.identities(document, forwarded(request))),
  "POST /api/v1/validate": (request) =>
    readJson(request).then((document) => service.validate(document, forwarded(request))),
};

const server = createServer((request, response) => {
  const { method, url } = request;
  const end = url.indexOf("?");
  const handler = ROUTES[`${method} ${end < 0 ? url : url.slice(0, end)}`];
  if (handler !== undefined) {
    handler(request).then(
      (answer) => respond(response, answer),
      (fault) => refuse(response, fault),
    );
  } else if (url === "/api/health/ready") {
    redis.ping().then(() => send(response, 200, '{"status":"ready"}'));
  } else {
    send(response, 404, '{"status":404}');
  }
});

server.listen(Number(process.env.PORT), "127.0.0.1");
process.on("SIGTERM", () => {
  server.close(() => process.exit(0));
  server.closeAllConnections();
});
