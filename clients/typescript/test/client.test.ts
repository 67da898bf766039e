import { expect, test } from "vitest";
import {
  IdentityClient,
  IdentityServiceError,
  NoAnswerError,
  ProblemError,
  RateLimitedError,
  UnexpectedAnswerError,
} from "../src/index.js";
import { IDENTITY, ok, problem, scripted, type Answer } from "./scripted.js";

const REFUSED = new TypeError("fetch failed");
const ID = IDENTITY.id;

test("issue sends what is given, escaped, and nothing else", async () => {
  const { client, requests } = scripted([ok(IDENTITY), ok(IDENTITY)]);
  expect((await client.issue({ prefix: "player", run: "a b&c", ttl: 60 })).id).toBe(ID);
  await client.issue();
  expect(requests.map((request) => request.url)).toEqual([
    "http://identity.test/api/v1/id?prefix=player&run=a%20b%26c&ttl=60",
    "http://identity.test/api/v1/id",
  ]);
});

test("a service token goes with every request", async () => {
  const { client, requests } = scripted([ok(IDENTITY)], { token: "secret.of.mine" });
  await client.issue();
  expect(requests[0]!.headers.get("Authorization")).toBe("Bearer secret.of.mine");
});

test.each(["secret.of.mine\n", "secret of mine", "", "sécret"])(
  "a token that no header can have is refused and not repeated: %j",
  (token) => {
    expect(() => scripted([], { token })).toThrow(/^token must be one word(?!.*cret)/);
  },
);

test("bodies have the members that are given", async () => {
  const { client, requests } = scripted([
    ok({ results: [] }),
    ok({ prefix: "player", status: "revoked", issued_before: "2026-11-22T10:00:00.000Z" }),
    ok({ prefix: null, status: "revoked", issued_before: "2026-11-22T10:00:00.000Z" }),
  ]);
  const moment = new Date("2026-11-22T10:00:00Z");
  await client.validateMany([ID]);
  await client.revokeBefore(moment, "player");
  await client.revokeBefore(moment);
  expect(await Promise.all(requests.map((request) => request.json()))).toEqual([
    { identities: [ID] },
    { prefix: "player", issued_before: "2026-11-22T10:00:00.000Z" },
    { issued_before: "2026-11-22T10:00:00.000Z" },
  ]);
});

test("a problem names its faults, and its request", async () => {
  const errors = [{ parameter: "prefix", detail: "No dash." }, { pointer: "/a/0", detail: "A name." }];
  const { client } = scripted([problem(400, { "X-Request-Id": "r-1" }, { errors })]);
  const error = await client.issue().catch((error: unknown) => error);
  expect(error).toBeInstanceOf(ProblemError);
  expect(error).not.toBeInstanceOf(RateLimitedError);
  expect(error).toMatchObject({
    name: "ProblemError",
    status: 400,
    faults: errors,
    requestId: "r-1",
    retryAfterS: undefined,
    message: "400 A problem: It says why. prefix: No dash. /a/0: A name.",
  });
});

test("a used-up limit says when to try again", async () => {
  const { client } = scripted([problem(429, { "Retry-After": "36" }, { "violated-policies": ["default"] })]);
  const error = await client.issue().catch((error: unknown) => error);
  expect(error).toBeInstanceOf(RateLimitedError);
  expect(error).toMatchObject({ retryAfterS: 36, violatedPolicies: ["default"] });
});

const DATES = { Date: "Sun, 22 Nov 2026 10:00:00 GMT", "Retry-After": "Sun, 22 Nov 2026 10:00:07 GMT" };
test.each<[string, Answer[], number[]]>([
  ["a wait of the service is kept", [problem(429, { "Retry-After": "3" })], [3]],
  ["a wait of nought", [problem(503, { "Retry-After": "0" })], [0]],
  ["waits double", [REFUSED, problem(503)], [0.2, 0.4]],
  ["a proxy without its service", [new Response("<html>", { status: 502 })], [0.2]],
  ["a date counts from the answer's own", [problem(503, DATES)], [7]],
  ["nonsense", [problem(503, { "Retry-After": "soon" })], [0.2]],
])("what passes by itself is sent again: %s", async (_, answers, expected) => {
  const { client, requests, waits } = scripted([...answers, ok({ ...IDENTITY, identities: [] })]);
  await client.batch({ environments: [{ name: "prod" }] });
  expect(waits).toEqual(expected);
  const bodies = await Promise.all(requests.map((request) => request.json()));
  expect(bodies).toEqual(Array(answers.length + 1).fill({ environments: [{ name: "prod" }] }));
});

test.each<[string, Answer[], new (...args: never[]) => IdentityServiceError, number]>([
  ["the bound of attempts", [REFUSED, REFUSED, REFUSED], NoAnswerError, 3],
  ["a wait over the bound", [problem(429, { "Retry-After": "11" })], RateLimitedError, 1],
  ["a bad request", [problem(400)], ProblemError, 1],
  ["a fault of the service", [problem(500)], ProblemError, 1],
  ["a proxy that stays alone", Array.from({ length: 3 }, () => new Response("", { status: 502 })), ProblemError, 3],
  ["another server", [new Response("nginx", { status: 404 })], UnexpectedAnswerError, 1],
  ["a page", [new Response("<html>")], UnexpectedAnswerError, 1],
  ["no object", [ok(null)], UnexpectedAnswerError, 1],
])("what does not pass is an error: %s", async (_, answers, kind, sent) => {
  const { client, requests, waits } = scripted(answers);
  const error = await client.issue().catch((error: unknown) => error);
  expect((error as Error).constructor).toBe(kind);
  expect([requests.length, waits.length]).toEqual([sent, sent - 1]);
});

test("an answer of another kind is no verdict", async () => {
  const { client } = scripted([ok({ results: [] })]);
  await expect(client.validate({ identity: ID })).rejects.toBeInstanceOf(UnexpectedAnswerError);
});

test("no answer has the error of fetch as its cause", async () => {
  const { client } = scripted([REFUSED], { retry: { attempts: 1 } });
  await expect(client.limits()).rejects.toMatchObject({ name: "NoAnswerError", cause: REFUSED });
});

test("an attempt that takes too long is cut off and repeated", async () => {
  let sent = 0;
  const client = new IdentityClient({
    baseUrl: "http://identity.test",
    timeoutS: 0.001,
    retry: { attempts: 2, sleep: async () => {} },
    fetch: ({ signal }) => {
      sent += 1;
      return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    },
  });
  await expect(client.limits()).rejects.toMatchObject({ name: "NoAnswerError", cause: { name: "TimeoutError" } });
  expect(sent).toBe(2);
});

test("a call that its caller aborts is not sent again", async () => {
  const { client, requests } = scripted([]);
  const error = await client.limits({ signal: AbortSignal.abort() }).catch((error: unknown) => error);
  expect(error).toMatchObject({ name: "AbortError" });
  expect(requests).toHaveLength(1);
});
