// The sports-book's backend: a session with a disposable identity for a player.
import { fetchIdentity, type Identity } from "../../../shared/identity.js";

const IDENTITY_URL = process.env.IDENTITY_SERVICE || "http://identity-service";

/** As much of the database client (Prisma's shape) as is used. */
export interface Database {
  playerSession: { create(row: { data: { playerId: string; identity: string; expires: Date } }): Promise<unknown> };
}

/** Raises IdentityServiceError; nothing is stored then. */
export async function createPlayerSession(playerId: string, db: Database): Promise<Identity> {
  // A backend asks thousands of times an hour from one address: its token has a limit of its own.
  const identity = await fetchIdentity(IDENTITY_URL, "player", playerId, { token: process.env.IDENTITY_TOKEN });
  await db.playerSession.create({ data: { playerId, identity: identity.id, expires: new Date(identity.expires) } });
  return identity;
}
