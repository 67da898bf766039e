// The original's behaviour on Bun: native routes, Bun's own Redis client (which pipelines by itself).

import { RedisClient } from "bun";

import { FIXED_HEADERS, Refusal, makeService, problem } from "./service.mjs";

const redis = new RedisClient(process.env.REDIS_URL);
const service = makeService(redis);
const FIXED = new Headers(FIXED_HEADERS); // copying one costs less than making one of an object

function respond({ body, remaining, reset }) {
  const headers = new Headers(FIXED);
  headers.set("X-RateLimit-Remaining", `${remaining}`);
  headers.set("X-RateLimit-Reset", `${reset}`);
  return new Response(body, { headers });
}

function refuse(fault) {
  if (fault instanceof SyntaxError) return refuse(new Refusal(400, "The body is not JSON."));
  if (!(fault instanceof Refusal)) throw fault;
  return new Response(problem(fault), { status: fault.status, headers: FIXED_HEADERS });
}

const forwarded = (request) => request.headers.get("x-forwarded-for");

/** A route's handler of an operation that takes a request and gives the service's answer. */
const route = (operation) => async (request) => {
  try {
    return respond(await operation(request));
  } catch (fault) {
    return refuse(fault);
  }
};

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: process.env.PORT,
  routes: {
    "/api/v1/id": { GET: route((request) => service.id(request.url, forwarded(request))) },
    "/api/v1/identities": {
      POST: route(async (request) => service.identities(await request.json(), forwarded(request))),
    },
    "/api/v1/validate": {
      POST: route(async (request) => service.validate(await request.json(), forwarded(request))),
    },
    "/api/health/ready": async () => {
      await redis.ping();
      return Response.json({ status: "ready" });
    },
  },
  fetch: () => new Response(null, { status: 404 }),
});

process.on("SIGTERM", () => server.stop(true).then(() => process.exit(0)));
