// The client: openapi-fetch with the types of the OpenAPI document, a deadline, repeated requests and typed errors.
import createFetchClient, { type Client } from "openapi-fetch";
import { errorOf, NoAnswerError, UnexpectedAnswerError } from "./errors.js";
import type { components, operations, paths } from "./openapi.js";
import { DEFAULT_RETRY, retrying, type Retry, type Send } from "./retry.js";

type Schemas = components["schemas"];
export type Identity = Schemas["Identity"];
export type Batch = Schemas["Batch"];
export type BatchRequest = Schemas["BatchRequest"];
export type Verdict = Schemas["Verdict"];
export type RevokedIdentity = Schemas["RevokedIdentity"];
export type RevokedBefore = Schemas["RevokedBefore"];
export type Limits = Schemas["Limits"];
export type IssueQuery = NonNullable<operations["issue_one"]["parameters"]["query"]>;
export type ToValidate = Schemas["ValidateIdentity"] | Schemas["ValidateToken"] | Schemas["ValidateIdentityAndToken"];
export type ToRevoke = Schemas["RevokeIdentity"] | Schemas["RevokeIdentityByToken"];

/** The API speaks JSON; health and metrics have other media types besides, for people and for Prometheus. */
export type Http = Client<paths, `${string}/${string}json`>;

export interface Options {
  /** Where the service answers, such as `https://identity.api.yourbook.com`. */
  baseUrl: string;
  /** A service token: a limit of its own in place of the address's, and rights. Never in a browser. */
  token?: string;
  /** Seconds for each attempt, 5 by default. */
  timeoutS?: number;
  /** Bounds of repeating a request, in part or whole; `{ attempts: 1 }` sends each once. */
  retry?: Partial<Retry>;
  /** What sends the requests; the global `fetch` by default. */
  fetch?: Send;
}

/** Options of a single call. */
export interface CallOptions {
  signal?: AbortSignal;
}

/** RFC 6750 section 2.1. */
const BEARER_TOKEN = /^[A-Za-z0-9._~+/-]+=*$/;

/** Calls of one identity service. Each resolves with what the API answers, or rejects with an IdentityServiceError. */
export class IdentityClient {
  /** Any other operation of the API, typed, with the same deadline and retries: `client.http.GET("/api/telemetry")`. */
  readonly http: Http;

  constructor({ baseUrl, token, timeoutS = 5, retry, fetch = (request) => globalThis.fetch(request) }: Options) {
    // The word goes into a header field, whose own error would repeat it.
    if (token !== undefined && !BEARER_TOKEN.test(token))
      throw new TypeError("token must be one word of A-Z a-z 0-9 . _ ~ + / -: does a line end follow it?");
    this.http = createFetchClient<paths, `${string}/${string}json`>({
      baseUrl,
      headers: token === undefined ? {} : { Authorization: `Bearer ${token}` },
      fetch: retrying(fetch, timeoutS, { ...DEFAULT_RETRY, ...retry }),
    });
  }

  /**
   * The identity of prefix and run: the same to everybody who names them, while it lives.
   *
   * Without `run` a new one is drawn that nobody can guess; only this answer has its token.
   */
  issue(query: IssueQuery = {}, options: CallOptions = {}): Promise<Identity> {
    return resultOf(this.http.GET("/api/v1/id", { params: { query }, ...options }));
  }

  /** Up to 1,000 identities, all or nothing; one request for the rate limit. */
  batch(body: BatchRequest, options: CallOptions = {}): Promise<Batch> {
    return resultOf(this.http.POST("/api/v1/identities", { body, ...options }));
  }

  /** The verdict on an identity, its token, or both; a bad one is a verdict, not an error. */
  async validate(body: ToValidate, options: CallOptions = {}): Promise<Verdict> {
    const answer = await resultOf(this.http.POST("/api/v1/validate", { body, ...options }));
    return "results" in answer ? unexpected() : answer;
  }

  /** Up to 1,000 verdicts in the order of the identities; one request for the rate limit. */
  async validateMany(identities: string[], options: CallOptions = {}): Promise<Verdict[]> {
    const answer = await resultOf(this.http.POST("/api/v1/validate", { body: { identities }, ...options }));
    return "results" in answer ? answer.results : unexpected();
  }

  /** End an identity, by its own token or by a service token of scope `revoke`. */
  async revoke(body: ToRevoke, options: CallOptions = {}): Promise<RevokedIdentity> {
    const answer = await resultOf(this.http.POST("/api/v1/revoke", { body, ...options }));
    return "identity" in answer ? answer : unexpected();
  }

  /** End all that was issued before the moment, of one prefix or all; needs the scope `revoke`. */
  async revokeBefore(moment: Date, prefix?: string, options: CallOptions = {}): Promise<RevokedBefore> {
    const issued_before = moment.toISOString();
    const body = prefix === undefined ? { issued_before } : { prefix, issued_before };
    const answer = await resultOf(this.http.POST("/api/v1/revoke", { body, ...options }));
    return "issued_before" in answer ? answer : unexpected();
  }

  /** The caller's rate limit; costs nothing. */
  limits(options: CallOptions = {}): Promise<Limits> {
    return resultOf(this.http.GET("/api/v1/limits", { ...options }));
  }
}

/** Turn an answer of openapi-fetch into its data or an exception. */
async function resultOf<Data>(
  call: Promise<{ data?: Data; error?: unknown; response: Response }>,
): Promise<NonNullable<Data>> {
  const { data, error, response } = await call.catch(noAnswer);
  if (!response.ok) throw errorOf(response, error);
  return typeof data === "object" && data !== null ? data : unexpected();
}

/** Turn what `fetch` or the parser of JSON throws into an exception of ours; the caller's own abort passes. */
function noAnswer(error: unknown): never {
  if (error instanceof SyntaxError) unexpected(error);
  if (error instanceof DOMException && error.name === "AbortError") throw error;
  throw new NoAnswerError(`The identity service does not answer: ${error}`, { cause: error });
}

function unexpected(cause?: unknown): never {
  throw new UnexpectedAnswerError("The answer is not one of the identity service.", { cause });
}

