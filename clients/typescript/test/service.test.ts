import { expect, inject, test } from "vitest";
import { IdentityClient, NoAnswerError, ProblemError, RateLimitedError } from "../src/index.js";

const SERVICE = inject("service");
const anonymous = new IdentityClient({ baseUrl: SERVICE });
const backend = new IdentityClient({ baseUrl: SERVICE, token: inject("serviceToken") });
const PLAYER = "player-123456@sports.api.yourbook.com/v1:id";

test("an identity is issued, validated and revoked", async () => {
  const identity = await anonymous.issue({ prefix: "player", run: "123456" });
  expect(identity.id).toBe(PLAYER);
  expect(await anonymous.issue({ prefix: "player", run: "123456" })).toEqual(identity);
  expect(await anonymous.validate({ identity: PLAYER })).toMatchObject({ valid: true, status: "active" });
  expect(await anonymous.validate({ token: identity.token })).toMatchObject({ identity: PLAYER, valid: true });
  const revoked = await anonymous.revoke({ identity: PLAYER, token: identity.token });
  expect(revoked).toMatchObject({ identity: PLAYER, already: false });
  expect(await anonymous.validate({ identity: PLAYER, token: identity.token })).toMatchObject({ status: "revoked" });
});

test("a batch has its identities in order, and many are validated at once", async () => {
  const environments = [{ name: "prod", prefix: "player", run: "batch" }, { name: "new", prefix: "ci" }];
  const batch = await anonymous.batch({ environments, ttl: 60 });
  expect(batch.identities.map((row) => row.environment)).toEqual(["prod", "new"]);
  const verdicts = await anonymous.validateMany([...batch.identities.map((row) => row.id), "nonsense"]);
  expect(verdicts.map((verdict) => verdict.status)).toEqual(["active", "active", "malformed"]);
});

test("a service token has a limit of its own, and ends a prefix", async () => {
  expect(await backend.limits()).toMatchObject({ client: "sub:typescript-client", limit: 100_000 });
  const issued = await backend.issue({ prefix: "own", run: "1" });
  await expect(anonymous.revoke({ identity: issued.id })).rejects.toMatchObject({ status: 401 });
  await backend.revokeBefore(new Date(Date.parse(issued.generated) + 1), "own");
  expect(await backend.validate({ identity: issued.id })).toMatchObject({ status: "revoked" });
});

test("a refusal names the parameters", async () => {
  const error = await anonymous.issue({ prefix: "a-b", ttl: 0 }).catch((error: unknown) => error);
  expect(error).toBeInstanceOf(ProblemError);
  expect((error as ProblemError).faults.map((fault) => fault.parameter).sort()).toEqual(["prefix", "ttl"]);
});

test("a used-up limit fails at once where its wait is long", async () => {
  const exhausted = new IdentityClient({ baseUrl: inject("exhausted") });
  const error = await exhausted.issue().catch((error: unknown) => error);
  expect(error).toBeInstanceOf(RateLimitedError);
  expect((error as RateLimitedError).retryAfterS).toBeGreaterThan(3000);
});

test("a service that is away is named", async () => {
  const away = new IdentityClient({ baseUrl: "http://127.0.0.1:1", retry: { attempts: 1 } });
  await expect(away.limits()).rejects.toBeInstanceOf(NoAnswerError);
});

test("any other operation is there, typed", async () => {
  const { data } = await backend.http.GET("/api/health");
  expect(data?.services.api).toBe("healthy");
});
