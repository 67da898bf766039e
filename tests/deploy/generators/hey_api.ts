// The guide's calls with the client of hey-api: compiled, not run.
import { health, issueBatch, issueOne, revoke, telemetry, validate } from "./generated/hey/index.js";

export async function guide(): Promise<string> {
  const issued = await issueOne({ query: { prefix: "player", run: "123456" }, throwOnError: true });
  const batch = await issueBatch({
    body: {
      environments: [{ name: "prod", prefix: "player", run: "123456" }],
      domain: "sports.api.yourbook.com",
      version: "v1",
    },
  });
  const shortest = await issueBatch({ body: { environments: [{ name: "prod" }] } });
  const verdict = await validate({ body: { identity: issued.data.id } });
  const revoked = await revoke({ body: { identity: issued.data.id, token: issued.data.token } });
  const first: string | undefined = batch.data?.identities[0]?.id ?? shortest.data?.identities[0]?.token;
  const valid: boolean = verdict.data !== undefined && "valid" in verdict.data && verdict.data.valid;
  const status: "revoked" | undefined = revoked.data?.status;
  const total: number | undefined = (await telemetry()).data?.requests.total;
  return `${first} ${valid} ${status} ${(await health()).data?.services.redis} ${total}`;
}
