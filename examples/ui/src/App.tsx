// The page: the identity of a player, its life running down, and a clear message where there is none.
import { useEffect, useId, useState } from "react";
import type { Identity, IdentityServiceError } from "../../shared/identity.js";
import { useIdentity } from "../hooks/useIdentity.js";
import { useNow } from "../hooks/useNow.js";
import { inWords, secondsUntil } from "./time.js";

export function App({ serviceUrl }: { serviceUrl: string }) {
  const [player, setPlayer] = useState("123456");
  const field = useId();
  return (
    <>
      <h1>Your identity</h1>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          setPlayer(String(new FormData(event.currentTarget).get("player")));
        }}
      >
        <label htmlFor={field}>Player</label>
        <input id={field} name="player" defaultValue={player} required />
        <button>Show</button>
      </form>
      <PlayerIdentity key={player} player={player} serviceUrl={serviceUrl} />
    </>
  );
}

function PlayerIdentity({ player, serviceUrl }: { player: string; serviceUrl: string }) {
  const { data, error, errorUpdatedAt, isFetching, refetch } = useIdentity(player, serviceUrl);
  if (error) return <Refusal error={error} sinceMs={errorUpdatedAt} busy={isFetching} retry={refetch} />;
  if (data) return <Life identity={data} renew={refetch} />;
  return <p aria-busy="true">Getting an identity …</p>;
}

/** The identity and what is left of its life; at its end it is asked for again. */
function Life({ identity, renew }: { identity: Identity; renew: () => unknown }) {
  const left = secondsUntil(Date.parse(identity.expires), useNow());
  const ended = left === 0;
  useEffect(() => {
    if (ended) renew();
  }, [ended, renew]);
  return (
    <section aria-label="Identity">
      <p>
        <code>{identity.id}</code>
      </p>
      <p>
        E-mail: <code>{identity.email}</code>
      </p>
      <progress aria-label="Life left" value={left} max={identity.ttl} />
      <p>{ended ? "It has ended; getting a new one …" : `It lives for another ${inWords(left)}.`}</p>
    </section>
  );
}

interface RefusalProps {
  error: IdentityServiceError;
  sinceMs: number;
  busy: boolean;
  retry: () => unknown;
}

/** Why there is no identity, and when it is worth trying again. */
function Refusal({ error, sinceMs, busy, retry }: RefusalProps) {
  const left = secondsUntil(sinceMs + (error.retryAfter ?? 0) * 1000, useNow());
  return (
    <section>
      <p role="alert">{reason(error)}</p>
      {left > 0 && <p>You can try again in {inWords(left)}.</p>}
      <button disabled={busy || left > 0} onClick={() => retry()}>
        Try again
      </button>
    </section>
  );
}

function reason(error: IdentityServiceError): string {
  if (error.status === 429) return "There were too many requests from your network: its limit is used up for now.";
  if (error.status === 400) return `This player can't have an identity. ${error.message}`;
  if (error.status === 0) return "The identity service does not answer.";
  return `The identity service can't give an identity now: ${error.message}`;
}
