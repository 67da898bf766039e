// When a request is sent again, and after what wait. Every request of the API may be repeated: the same one gives the
// same identity, a second revocation changes nothing, and an identity whose answer was lost ends unused.
import { PASSING, retryAfterS } from "./errors.js";

/** Bounds of repeating a request. */
export interface Retry {
  /** How often a request is sent at most, the first time included. */
  attempts: number;
  /** Seconds: the longest wait. Where the service's `Retry-After` is longer, its answer is final. */
  maxWaitS: number;
  /** Seconds: without a `Retry-After`, the upper end of the first wait; each one after it may be twice as long. */
  baseWaitS: number;
  /** A number from 0 to 1, which spreads these waits, so that many clients do not return together. */
  chance: () => number;
  /** Resolves after so many seconds. */
  sleep: (seconds: number) => Promise<unknown>;
}

export const DEFAULT_RETRY: Retry = {
  attempts: 3,
  maxWaitS: 10,
  baseWaitS: 0.2,
  chance: Math.random,
  sleep: (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000)),
};

/** What sends a request: `fetch`. */
export type Send = (request: Request) => Promise<Response>;

/** Return a `fetch` with a deadline for each attempt, which repeats what passes by itself. */
export function retrying(send: Send, timeoutS: number, retry: Retry): Send {
  async function attempt(request: Request): Promise<Response | Error> {
    const signal = AbortSignal.any([request.signal, AbortSignal.timeout(timeoutS * 1000)]);
    try {
      return await send(new Request(request.clone(), { signal }));
    } catch (error) {
      if (request.signal.aborted) throw error; // the caller no longer wants the answer
      return error instanceof Error ? error : new Error(String(error));
    }
  }

  return async (request) => {
    for (let count = 1; ; count++) {
      const answer = await attempt(request);
      const waitS = waitBefore(count, answer, retry);
      if (waitS === undefined) {
        if (answer instanceof Error) throw answer;
        return answer;
      }
      await retry.sleep(waitS);
    }
  };
}

/** Seconds to wait after this attempt (the first is 1), or undefined where its answer is final. */
function waitBefore(attempt: number, answer: Response | Error, retry: Retry): number | undefined {
  if (attempt >= retry.attempts) return undefined;
  if (answer instanceof Response) {
    if (!PASSING.has(answer.status)) return undefined;
    const named = retryAfterS(answer);
    if (named !== undefined) return named <= retry.maxWaitS ? named : undefined;
  }
  return Math.min(retry.maxWaitS, retry.baseWaitS * 2 ** (attempt - 1)) * retry.chance();
}
