// The original's behaviour on Bun: native routes, Bun's own Redis client (which pipelines by itself).

import { RedisClient } from "bun";

import { FIXED_HEADERS, Refusal, makeService, problem } from "./service.mjs";

const redis = new RedisClient(process.env.REDIS_URL);
const service = makeService(redis);

function respond({ body, remaining, reset }) {
  return new Response(body, {
    headers: { ...FIXED_HEADERS, "X-RateLimit-Remaining": `${remaining}`, "X-RateLimit-Reset": `${reset}` },
  });
}

function refuse(fault) {
  if (fault instanceof SyntaxError) return refuse(new Refusal(400, "The body is not JSON."));
  if (!(fault instanceof Refusal)) throw fault;
  return new Response(problem(fault), { status: fault.status, headers: FIXED_HEADERS });
}

const forwarded = (request) => request.headers.get("x-forwarded-for");

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: process.env.PORT,
  routes: {
    "/api/v1/id": { GET: (request) => service.id(request.url, forwarded(request)).then(respond, refuse) },
    "/api/v1/identities": {
      POST: (request) =>
        request
          .json()
          .then((document) => service.identities(document, forwarded(request)))
          .then(respond, refuse),
    },
    "/api/v1/validate": {
      POST: (request) =>
        request
          .json()
          .then((document) => service.validate(document, forwarded(request)))
          .then(respond, refuse),
    },
    "/api/health/ready": async () => Response.json({ status: await redis.ping() === "PONG" ? "ready" : "starting" }),
  },
  fetch: () => new Response(null, { status: 404 }),
});

process.on("SIGTERM", () => server.stop(true).then(() => process.exit(0)));
