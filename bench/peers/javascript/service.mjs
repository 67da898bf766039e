// What the two JavaScript servers answer; node.mjs and bun.mjs are the HTTP around it.
//
// A request costs one pipeline: the client's counter is incremented and the identity read together (both Redis clients
// join the commands of a tick by themselves). Only the first request of a client's window and an identity that is not
// there yet cost a second one. What is kept of an identity is `generated`, `expires` (24 characters each) and the token.

import { createHmac } from "node:crypto";

const DOMAIN = "sports.api.yourbook.com";
const VERSION = "v1";
const TTL = 3600;
const SUFFIX = `@${DOMAIN}/${VERSION}:id`;
const MAX_ROWS = 1000;

const PREFIX = /^[A-Za-z0-9_.]+$/;
const RUN = /^[A-Za-z0-9_.-]+$/;
const IDENTITY = /^([A-Za-z0-9_.]+)-([A-Za-z0-9_.-]+)@([a-z0-9.-]+)\/(v\d{1,3}):id$/;
const USUAL_QUERY = /\?prefix=([A-Za-z0-9_.]+)&run=([A-Za-z0-9_.-]+)$/;

const LIMIT = Number(process.env.RATE_LIMIT_REQUESTS ?? 100);
const WINDOW = Number(process.env.RATE_LIMIT_WINDOW ?? 3600);
const ISSUER = `http://localhost:${process.env.PORT}`;
const SECRET = process.env.JWT_SECRET;
const TOKEN_HEADER = base64url('{"alg":"HS256","typ":"JWT"}');

/** Of every answer, for the shells to write as suits them. */
export const FIXED_HEADERS = {
  "Content-Type": "application/json",
  "Cache-Control": "no-store",
  "X-Content-Type-Options": "nosniff",
  "X-Frame-Options": "DENY",
  "Access-Control-Allow-Origin": "*",
  "X-RateLimit-Limit": String(LIMIT),
};

/** The client's fault: `status` is the answer's. */
export class Refusal extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** The body of a refusal (RFC 9457). */
export const problem = (refusal) => JSON.stringify({ status: refusal.status, detail: refusal.message });

/** The operations over a Redis client with promises; each gives `{ body, remaining, reset }` or throws a Refusal. */
export function makeService(redis) {
  /** The answer of a client that was counted; a refusal when it was once too often. `now` in milliseconds. */
  function answer(body, count, now) {
    const reset = WINDOW - (Math.floor(now / 1000) % WINDOW);
    if (count > LIMIT) throw new Refusal(429, `Try again in ${reset} s.`);
    return { body, remaining: LIMIT - count, reset };
  }

  /** Keep a new record unless another request was first; give the one that stands. */
  async function issue(id, now) {
    const made = record(id, now);
    return (await redis.set(`id:${id}`, made, "EX", TTL, "NX", "GET")) ?? made;
  }

  return {
    async id(url, forwarded) {
      const now = Date.now();
      const cell = cellOf(forwarded, now);
      const [prefix, run] = pairOf(url);
      const id = identityOf(prefix, run);
      const [count, found] = await Promise.all([redis.incr(cell), redis.get(`id:${id}`)]);
      if (count === 1) await redis.expire(cell, WINDOW);
      const kept = found ?? (await issue(id, now));
      return answer(identityBody(id, prefix, run, kept), count, now);
    },

    async identities(document, forwarded) {
      const rows = document?.environments;
      if (!Array.isArray(rows) || rows.length < 1 || rows.length > MAX_ROWS) {
        throw new Refusal(400, "1 to 1,000 environments.");
      }
      const now = Date.now();
      const cell = cellOf(forwarded, now);
      const ids = rows.map((row) => identityOf(row?.prefix, row?.run));
      const [count, found] = await Promise.all([redis.incr(cell), redis.mget(...ids.map((id) => `id:${id}`))]);
      if (count === 1) await redis.expire(cell, WINDOW);
      const kept = found.includes(null) ? await Promise.all(found.map((one, at) => one ?? issue(ids[at], now))) : found;
      const parts = kept.map((one, at) => rowBody(rows[at].name, ids[at], one));
      const tail = `"total":${rows.length},"domain":"${DOMAIN}","version":"${VERSION}","ttl":${TTL}`;
      const body = `{"identities":[${parts.join(",")}],${tail},"generated":"${new Date(now).toISOString()}"}`;
      return answer(body, count, now);
    },

    async validate(document, forwarded) {
      const identity = document?.identity;
      if (typeof identity !== "string") throw new Refusal(400, "An identity is a string.");
      const now = Date.now();
      const cell = cellOf(forwarded, now);
      const parts = IDENTITY.exec(identity);
      const [count, found] = await Promise.all([redis.incr(cell), parts && redis.get(`id:${identity}`)]);
      if (count === 1) await redis.expire(cell, WINDOW);
      return answer(verdictBody(identity, parts, found, new Date(now).toISOString()), count, now);
    },
  };
}

/** The key of a client's counter: windows follow the clock, so that a lost EXPIRE can lock no client out. */
function cellOf(forwarded, now) {
  return `rl:${clientOf(forwarded)}:${Math.floor(now / 1000 / WINDOW)}`;
}

/** The right-most entry of X-Forwarded-For: the servers listen on loopback alone, so their peer is the trusted proxy. */
function clientOf(forwarded) {
  if (!forwarded) return "127.0.0.1";
  return forwarded.slice(forwarded.lastIndexOf(",") + 1).trim();
}

/** Prefix and run of a request target. The usual query needs no decoding. */
function pairOf(url) {
  const usual = USUAL_QUERY.exec(url);
  if (usual !== null) return [usual[1], usual[2]];
  const parameters = new URLSearchParams(url.slice(url.indexOf("?") + 1));
  return [parameters.get("prefix") ?? "unknown", parameters.get("run")];
}

function identityOf(prefix, run) {
  if (typeof prefix !== "string" || !PREFIX.test(prefix)) throw new Refusal(400, "prefix: letters, digits, _ and .");
  if (typeof run !== "string" || !RUN.test(run)) throw new Refusal(400, "run: letters, digits, _ . and -");
  return `${prefix}-${run}${SUFFIX}`;
}

function base64url(text) {
  return Buffer.from(text).toString("base64url");
}

function record(id, now) {
  const issued = Math.floor(now / 1000);
  const times = new Date(now).toISOString() + new Date(now + TTL * 1000).toISOString();
  // Every part is of a grammar without quotes and backslashes.
  const claims = `{"iss":"${ISSUER}","sub":"${id}","iat":${issued},"exp":${issued + TTL},"jti":"${now}"}`;
  const signed = `${TOKEN_HEADER}.${base64url(claims)}`;
  return `${times}${signed}.${createHmac("sha256", SECRET).update(signed).digest("base64url")}`;
}

/** The members that the answers to an issue share. */
function lifeBody(id, kept) {
  const email = id.slice(0, id.lastIndexOf("/"));
  const times = `"generated":"${kept.slice(0, 24)}","expires":"${kept.slice(24, 48)}"`;
  return `"id":"${id}","email":"${email}","ttl":${TTL},${times},"token":"${kept.slice(48)}"`;
}

function identityBody(id, prefix, run, kept) {
  const parts = `"prefix":"${prefix}","run":"${run}","domain":"${DOMAIN}","version":"${VERSION}"`;
  const rest = `"type":"disposable-identity","compatible":["nexus","artifactory","jfrog"]`;
  return `{${lifeBody(id, kept)},"metadata":{${parts},${rest}}}`;
}

function rowBody(name, id, kept) {
  return `{"environment":${JSON.stringify(name ?? null)},${lifeBody(id, kept)}}`;
}

function verdictBody(identity, parts, kept, now) {
  if (parts === null) return JSON.stringify(verdict(identity, "malformed", "It has not the form of an identity.", now));
  const [, prefix, run, domain, version] = parts;
  const metadata = { prefix, run, domain, version, type: "disposable-identity", format: "rfc5322-compliant" };
  if (kept === null) {
    return JSON.stringify({ ...verdict(identity, "unknown", "It was never issued by this service.", now), metadata });
  }
  const reason = "The identity was issued by this service and has not expired.";
  const told = `"identity":"${identity}","valid":true,"status":"active","reason":"${reason}"`;
  const known = `"prefix":"${prefix}","run":"${run}","domain":"${domain}","version":"${version}"`;
  const form = `"metadata":{${known},"type":"disposable-identity","format":"rfc5322-compliant"}`;
  const times = `"cached":true,"generated":"${kept.slice(0, 24)}","expires":"${kept.slice(24, 48)}","validated":"${now}"`;
  return `{${told},"well_formed":true,"rfc5322_compliant":true,${form},${times}}`;
}

/** A verdict that is not `active`. */
function verdict(identity, status, reason, validated) {
  const formed = status !== "malformed";
  const form = { well_formed: formed, rfc5322_compliant: formed, metadata: null };
  return { identity, valid: false, status, reason, ...form, cached: false, generated: null, expires: null, validated };
}
