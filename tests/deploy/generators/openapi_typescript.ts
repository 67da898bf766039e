// The guide's calls with the types of openapi-typescript: compiled, not run.
import createClient from "openapi-fetch";
import type { paths } from "./generated/openapi.js";

// Health and metrics have other media types besides, for people and for Prometheus.
const client = createClient<paths, `${string}/${string}json`>({ baseUrl: "http://localhost:3655" });

export async function guide(): Promise<string> {
  const issued = await client.GET("/api/v1/id", { params: { query: { prefix: "player", run: "123456" } } });
  if (issued.data === undefined) return issued.error.detail;
  const batch = await client.POST("/api/v1/identities", {
    body: {
      environments: [{ name: "prod", prefix: "player", run: "123456" }],
      domain: "sports.api.yourbook.com",
      version: "v1",
    },
  });
  const shortest = await client.POST("/api/v1/identities", { body: { environments: [{ name: "prod" }] } });
  const verdict = await client.POST("/api/v1/validate", { body: { identity: issued.data.id } });
  const revoked = await client.POST("/api/v1/revoke", { body: { identity: issued.data.id, token: issued.data.token } });
  const health = await client.GET("/api/health");
  const telemetry = await client.GET("/api/telemetry");
  const first: string | undefined = batch.data?.identities[0]?.id ?? shortest.data?.identities[0]?.token;
  const valid: boolean = verdict.data !== undefined && "valid" in verdict.data && verdict.data.valid;
  const status: "revoked" | undefined = revoked.data?.status;
  const total: number | undefined = telemetry.data?.requests.total;
  return `${first} ${valid} ${status} ${health.data?.services.redis} ${total} ${issued.data.metadata.run}`;
}
