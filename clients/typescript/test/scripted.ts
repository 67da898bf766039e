// A scripted service: it gives the answers that it is handed, and keeps the requests. It knows no rule of the API.
import { IdentityClient, type Retry } from "../src/index.js";

export type Answer = Response | Error;

export const IDENTITY = {
  id: "player-123456@sports.api.yourbook.com/v1:id",
  email: "player-123456@sports.api.yourbook.com",
  ttl: 3600,
  generated: "2026-11-22T10:00:00.000Z",
  expires: "2026-11-22T11:00:00.000Z",
  token: "a.b.c",
};

export function ok(document: unknown): Response {
  return Response.json(document);
}

export function problem(status: number, headers: Record<string, string> = {}, members: object = {}): Response {
  const document = { type: "about:blank", title: "A problem", status, detail: "It says why.", ...members };
  return new Response(JSON.stringify(document), {
    status,
    headers: { "Content-Type": "application/problem+json", ...headers },
  });
}

export function scripted(answers: Answer[], options: { token?: string; retry?: Partial<Retry> } = {}) {
  const requests: Request[] = [];
  const waits: number[] = [];
  const client = new IdentityClient({
    baseUrl: "http://identity.test",
    ...options,
    retry: { chance: () => 1, sleep: async (seconds) => waits.push(seconds), ...options.retry },
    fetch: async (request) => {
      requests.push(request);
      request.signal.throwIfAborted();
      const answer = answers.shift();
      if (answer instanceof Response) return answer;
      throw answer ?? new Error("the script has ended");
    },
  });
  return { client, requests, waits };
}
