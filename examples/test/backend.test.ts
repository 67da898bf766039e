import { afterAll, beforeAll, expect, test } from "vitest";
import { createPlayerSession, type Database } from "../backend/src/auth/identity.js";
import { fetchIdentity, IdentityServiceError } from "../shared/identity.js";
import { expectActive, SERVICE, SERVICE_TOKEN } from "./service.js";

beforeAll(() => {
  process.env.IDENTITY_TOKEN = SERVICE_TOKEN;
});
afterAll(() => {
  delete process.env.IDENTITY_TOKEN;
});

/** A fake: keeps the rows. */
class Rows implements Database {
  rows: object[] = [];
  playerSession = {
    create: async ({ data }: { data: object }) => {
      this.rows.push(data);
    },
  };
}

test("a session is stored under an identity that the service vouches for", async () => {
  const db = new Rows();
  const identity = await createPlayerSession("123456", db);
  expect(identity.id).toBe("player-123456@sports.api.yourbook.com/v1:id");
  expect(db.rows).toEqual([{ playerId: "123456", identity: identity.id, expires: new Date(identity.expires) }]);
  await expectActive(identity.id, identity.token);
});

test("a slash at the end of the service's URL is no part of the path", async () => {
  const identity = await fetchIdentity(`${SERVICE}/`, "slash", "1");
  expect(identity.id).toBe("slash-1@sports.api.yourbook.com/v1:id");
});

test("the backend's token lets it issue a protected prefix beyond the limit of its address", async () => {
  const db = new Rows();
  for (let player = 0; player < 150; player++) await createPlayerSession(`many-${player}`, db);
  expect(db.rows).toHaveLength(150);
});

test("a player that can't be part of an identity is refused in words, and nothing is stored", async () => {
  const db = new Rows();
  const refused = await createPlayerSession("no spaces & = ?", db).catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(IdentityServiceError);
  expect(refused).toMatchObject({ status: 400 });
  expect(db.rows).toEqual([]);
});
