// What all examples share: one call of the service, with a deadline, and its faults as one kind of error.

/** What `GET /api/v1/id` answers. */
export interface Identity {
  id: string;
  email: string;
  ttl: number; // seconds
  generated: string; // RFC 3339, UTC
  expires: string;
  token: string;
  metadata: { prefix: string; run: string; domain: string; version: string; type: string; compatible: string[] };
}

/** Where `make run` serves. */
export const LOCAL_URL = "http://localhost:3655";

const TIMEOUT_MS = 5_000;

/** An answer that is no identity. `status` is 0 where no answer came. */
export class IdentityServiceError extends Error {
  constructor(
    readonly status: number,
    detail: string,
    /** Seconds until it is worth trying again, where the service says so (429 and 503). */
    readonly retryAfter?: number,
  ) {
    super(detail);
    this.name = "IdentityServiceError";
  }
}

export interface Options {
  /** A service token (`arsenal-fast token`): a limit of its own, and protected prefixes. Never in a browser. */
  token?: string;
  signal?: AbortSignal;
}

/**
 * The identity of (prefix, run): the same for everybody who asks while it lives.
 *
 * Trying again is safe: the same request gives the same identity.
 */
export async function fetchIdentity(
  serviceUrl: string,
  prefix: string,
  run: string,
  { token, signal }: Options = {},
): Promise<Identity> {
  const deadline = AbortSignal.timeout(TIMEOUT_MS);
  const query = new URLSearchParams({ prefix, run });
  const headers: Record<string, string> = token ? { Authorization: `Bearer ${token}` } : {};
  let response: Response;
  try {
    response = await fetch(`${serviceUrl.replace(/\/+$/, "")}/api/v1/id?${query}`, {
      headers,
      signal: signal ? AbortSignal.any([signal, deadline]) : deadline,
    });
  } catch (error) {
    if (signal?.aborted) throw error; // the caller no longer wants the answer
    throw new IdentityServiceError(0, `The identity service does not answer: ${error}`);
  }
  if (!response.ok) {
    const problem = await response.json().catch(() => ({})); // application/problem+json (RFC 9457)
    const retryAfter = response.headers.get("Retry-After");
    throw new IdentityServiceError(
      response.status,
      problem.detail ?? response.statusText,
      retryAfter === null ? undefined : Number(retryAfter),
    );
  }
  try {
    return (await response.json()) as Identity;
  } catch (error) {
    throw new IdentityServiceError(0, `The answer is not one of the identity service: ${error}`);
  }
}
