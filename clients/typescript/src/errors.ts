// The errors of the client: one class for each thing that a caller may want to do about it.
import type { components } from "./openapi.js";

export type Problem = Omit<components["schemas"]["Problem"], "request_id">; // which the header has too, and a proxy not
/** One bad member (`pointer`) or query parameter of a request. */
export type Fault = components["schemas"]["Fault"];

/** Anything that keeps a call from its result. */
export class IdentityServiceError extends Error {
  override name = "IdentityServiceError";
}

/** No answer came: refused, timed out, cut off; `cause` is the error of `fetch`. The call may have been carried out. */
export class NoAnswerError extends IdentityServiceError {
  override name = "NoAnswerError";
}

/** An answer that this service does not give: another server, a proxy's page. */
export class UnexpectedAnswerError extends IdentityServiceError {
  override name = "UnexpectedAnswerError";
}

/** A problem document (RFC 9457): 400 names `faults`, 401 and 403 are of the service token, 503 passes by itself. */
export class ProblemError extends IdentityServiceError {
  override name = "ProblemError";
  readonly status: number;
  readonly title: string;
  readonly detail: string;
  readonly type: string;
  readonly faults: readonly Fault[];
  /** Names of the rate-limit policies that are used up. */
  readonly violatedPolicies: readonly string[];

  constructor(
    problem: Problem,
    /** Seconds after which the request is worth repeating, where the service says so. */
    readonly retryAfterS: number | undefined,
    /** The `X-Request-Id` of the request, where it had one. */
    readonly requestId: string | undefined,
  ) {
    const faults = problem.errors ?? [];
    const named = faults.map((fault) => ` ${fault.pointer ?? fault.parameter}: ${fault.detail}`).join("");
    super(`${problem.status} ${problem.title}: ${problem.detail}${named}`);
    this.status = problem.status;
    this.title = problem.title;
    this.detail = problem.detail;
    this.type = problem.type;
    this.faults = faults;
    this.violatedPolicies = problem["violated-policies"] ?? [];
  }
}

/** The caller has used up its limit (429); `retryAfterS` says when to try again. */
export class RateLimitedError extends ProblemError {
  override name = "RateLimitedError";
}

/** Statuses that pass by themselves. */
export const PASSING: ReadonlySet<number> = new Set([429, 502, 503, 504]);

/** The exception of an answer that is no success. */
export function errorOf(response: Response, body: unknown): IdentityServiceError {
  const problem = isProblem(body) ? body : proxysProblem(response);
  if (problem === undefined)
    return new UnexpectedAnswerError(`The answer with status ${response.status} is not one of the identity service.`);
  const kind = response.status === 429 ? RateLimitedError : ProblemError;
  return new kind(problem, retryAfterS(response), response.headers.get("X-Request-Id") ?? undefined);
}

/** A proxy's page stands for a problem document where it says that a later request may pass. */
function proxysProblem({ status, statusText }: Response): Problem | undefined {
  return PASSING.has(status) ? { type: "about:blank", title: statusText, status, detail: "" } : undefined;
}

/** The `Retry-After` (RFC 9110 section 10.2.3) in seconds; a date counts from the answer's own `Date`. */
export function retryAfterS(response: Response): number | undefined {
  const text = response.headers.get("Retry-After");
  if (text === null) return undefined;
  if (/^\d+$/.test(text)) return Number(text);
  const waitMs = Date.parse(text) - Date.parse(response.headers.get("Date") ?? "");
  return Number.isNaN(waitMs) ? undefined : Math.max(0, waitMs / 1000);
}

function isProblem(body: unknown): body is Problem {
  if (typeof body !== "object" || body === null) return false;
  const { type, title, status, detail } = body as Record<string, unknown>;
  return typeof status === "number" && [type, title, detail].every((member) => typeof member === "string");
}
