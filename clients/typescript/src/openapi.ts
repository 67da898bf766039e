// Made by `npm run generate` of the OpenAPI document; do not edit.

export interface paths {
    "/api/v1/id": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get one identity
         * @description Issues the identity, or returns the living one: the same `generated` and `expires` from every replica until less than a quarter of its TTL is left, then it is renewed. Requests that name the same `prefix` and `run` get the same identity and token. Without `run` a new one is drawn that can't be guessed; it can't be requested again, so the answer is the only one with its token, and nothing renews it. A protected prefix needs a service token of scope `issue`.
         */
        get: operations["issue_one"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/identities": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Get up to 1,000 identities
         * @description All or nothing: one bad row and nothing is issued, and every bad row is named. Without `run` a row gets a drawn one, as in `GET /api/v1/id`. A batch is one request for the rate limit, unless a policy of the limits file counts its rows. Protected prefixes need a service token of scope `issue`.
         */
        post: operations["issue_batch"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/validate": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Validate an identity, its token, both, or up to 1,000 identities
         * @description `valid` is the verdict to act on. A malformed identity and a bad token are answers, not errors. A token of an earlier life that was merely renewed is good until it expires.
         */
        post: operations["validate"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/revoke": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Revoke one identity, a prefix, or everything issued so far
         * @description One identity by its own token, or by a service token of scope `revoke`; a prefix or everything by a service token alone. Every replica knows it by the next request. Issuing again begins a new life; tokens of the old ones stay dead.
         */
        post: operations["revoke"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/token": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Exchange an ID token for a service token
         * @description RFC 8693: the ID token of a pipeline (GitHub Actions and other issuers of OpenID Connect, as OIDC_ISSUERS has them) becomes a service token of some minutes, which may issue the protected prefixes of its rule. It is exchanged once. Errors are those of OAuth (RFC 6749 section 5.2).
         */
        post: operations["exchange_token"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/audit": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Read the ledger
         * @description Every issue, renewal and revocation, newest first; needs a service token of scope `audit`. The cursor is stable while rows arrive. Reading is written down, too.
         */
        get: operations["audit"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/tokens": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List service tokens
         * @description The tokens that were minted, newest first, without the tokens themselves; needs a service token of scope `tokens`. Tokens leave the list when they have expired and `LEDGER_RETENTION_DAYS` are over.
         */
        get: operations["list_tokens"];
        put?: never;
        /**
         * Mint a service token
         * @description The token is in this response and in no other. Two tokens of one subject share one limit, so that one can take the place of the other without a gap. Needs a service token of scope `tokens`, which hands on no scope that it lacks.
         */
        post: operations["mint_token"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/tokens/revoke": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Withdraw a service token, or all of a subject
         * @description Every replica refuses it from the next request on. A token that is not in the list (of an earlier release) is withdrawn all the same; `arsenal-fast token inspect` tells its id. Needs a service token of scope `tokens`.
         */
        post: operations["revoke_token"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/tokens/limit": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Change the limit of a service token
         * @description In force from the next request on, on every replica. Needs a service token of scope `tokens`.
         */
        post: operations["limit_token"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/limits": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * See the caller's rate limit
         * @description Costs nothing. With a service token, its own limit.
         */
        get: operations["limits"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/health": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Health of the service and of what it stands on
         * @description `degraded` still serves (200). A browser gets a page.
         */
        get: operations["health"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/health/live": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Liveness: the process answers
         * @description Never depends on Redis.
         */
        get: operations["live"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/health/ready": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Readiness: send traffic here
         * @description 503 while starting and draining; stays 200 in degraded mode.
         */
        get: operations["ready"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/health/startup": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Start-up: the process has come up */
        get: operations["startup"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/metrics": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Prometheus metrics
         * @description Text format 0.0.4, or OpenMetrics 1.0.0 by `Accept`; the sum over the workers, at most a second old. With `METRICS_ACCESS=token` it needs a service token of scope `metrics`.
         */
        get: operations["metrics"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/telemetry": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The same counts as JSON
         * @description At most a second old, as `timestamp` says. With `METRICS_ACCESS=token` it needs a service token of scope `metrics`.
         */
        get: operations["telemetry"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/openapi.json": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** This document */
        get: operations["openapi"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/docs": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Swagger UI */
        get: operations["docs"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/.well-known/jwks.json": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The public keys of identity tokens
         * @description Empty while tokens are signed with a shared secret.
         */
        get: operations["jwks"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/problems": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * The kinds of problems
         * @description Each kind has a page of its own, which the `type` of a problem resolves to. A browser gets HTML.
         */
        get: operations["problems"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
}
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        IdentityMetadata: {
            /** @description Up to the first `-`. */
            prefix: string;
            /** @description After the first `-`, named or drawn. */
            run: string;
            /** @description Domain, in lower case. */
            domain: string;
            /** @description Version of the identity. */
            version: string;
            /** @constant */
            type: "disposable-identity";
            /** @description Registries that take the identity as an e-mail address. */
            compatible: string[];
        };
        /**
         * @description A living identity; it validates.
         * @example {
         *       "id": "player-123456@sports.api.yourbook.com/v1:id",
         *       "email": "player-123456@sports.api.yourbook.com",
         *       "ttl": 3600,
         *       "generated": "2026-11-22T10:00:00.000Z",
         *       "expires": "2026-11-22T11:00:00.000Z",
         *       "token": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJwbGF5ZXItMTIzNDU2QHNwb3J0cy5hcGkueW91cmJvb2suY29tL3YxOmlkIn0.Rf2ErwuB9JhGQoVGDdF0yAKKTqNdlmqeF4yTjzBQ3dk",
         *       "metadata": {
         *         "prefix": "player",
         *         "run": "123456",
         *         "domain": "sports.api.yourbook.com",
         *         "version": "v1",
         *         "type": "disposable-identity",
         *         "compatible": [
         *           "nexus",
         *           "artifactory",
         *           "jfrog"
         *         ]
         *       }
         *     }
         */
        Identity: {
            /** @description The identity. */
            id: string;
            /** @description The part before `/`: a valid RFC 5322 addr-spec. */
            email: string;
            /** @description Whole length of its life in seconds. */
            ttl: number;
            /**
             * Format: date-time
             * @description When it was issued or renewed. RFC 3339, UTC, milliseconds.
             */
            generated: string;
            /**
             * Format: date-time
             * @description When it ends, unless it is renewed; at least a quarter of its TTL ahead. RFC 3339, UTC, milliseconds.
             */
            expires: string;
            /** @description Identity token of this life, a JWT: `iss`, `sub` (the identity), `iat`, `exp`, `jti`. Its bearer counts as the holder of the identity, and may revoke it. */
            token: string;
            metadata: components["schemas"]["IdentityMetadata"];
        };
        Environment: {
            /** @description Handed back with the identity. */
            name: string;
            /** @description What the identity is for. No `-`: the first `-` of an identity ends its prefix. Prefix and run, with the `-` between them, have at most 64 characters. Without a run the prefix has at most 37. Left out: `unknown`. */
            prefix?: string;
            /** @description The user or run it is for: a number, a UUID, a word. Left out: a new one that can't be guessed is drawn, `_` and 25 of `0-9 a-z` without `i l o u`, in the order of time. Runs of that form can't be named. Prefix and run, with the `-` between them, have at most 64 characters. */
            run?: string;
        };
        /**
         * @example {
         *       "environments": [
         *         {
         *           "name": "prod",
         *           "prefix": "player",
         *           "run": "123456"
         *         }
         *       ],
         *       "domain": "sports.api.yourbook.com",
         *       "version": "v1"
         *     }
         */
        BatchRequest: {
            /** @description What to issue an identity for, each. */
            environments: components["schemas"]["Environment"][];
            /** @description Domain of the identity, folded to lower case. Left out: the service's own. */
            domain?: string;
            /** @description Version of the identity. Left out: `v1`. */
            version?: string;
            /** @description Whole seconds to live (`3600`, not `3600.0`), for the request that issues; a living identity keeps its own. Left out: 3600. */
            ttl?: number;
        };
        BatchIdentity: {
            /** @description Name of the environment. */
            environment: string;
            /** @description The identity. */
            id: string;
            /** @description The part before `/`: a valid RFC 5322 addr-spec. */
            email: string;
            /** @description Whole length of its life in seconds. */
            ttl: number;
            /**
             * Format: date-time
             * @description When it was issued or renewed. RFC 3339, UTC, milliseconds.
             */
            generated: string;
            /**
             * Format: date-time
             * @description When it ends, unless it is renewed; at least a quarter of its TTL ahead. RFC 3339, UTC, milliseconds.
             */
            expires: string;
            /** @description Identity token of this life, a JWT: `iss`, `sub` (the identity), `iat`, `exp`, `jti`. Its bearer counts as the holder of the identity, and may revoke it. */
            token: string;
        };
        /**
         * @example {
         *       "identities": [
         *         {
         *           "environment": "prod",
         *           "id": "player-123456@sports.api.yourbook.com/v1:id",
         *           "email": "player-123456@sports.api.yourbook.com",
         *           "ttl": 3600,
         *           "generated": "2026-11-22T10:00:00.000Z",
         *           "expires": "2026-11-22T11:00:00.000Z",
         *           "token": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJwbGF5ZXItMTIzNDU2QHNwb3J0cy5hcGkueW91cmJvb2suY29tL3YxOmlkIn0.Rf2ErwuB9JhGQoVGDdF0yAKKTqNdlmqeF4yTjzBQ3dk"
         *         }
         *       ],
         *       "total": 1,
         *       "domain": "sports.api.yourbook.com",
         *       "version": "v1",
         *       "ttl": 3600,
         *       "generated": "2026-11-22T10:00:00.000Z"
         *     }
         */
        Batch: {
            /** @description In the order of the environments. */
            identities: components["schemas"]["BatchIdentity"][];
            /** @description How many identities. */
            total: number;
            /** @description Domain, in lower case. */
            domain: string;
            /** @description Version of the identity. Left out: `v1`. */
            version: string;
            /** @description Seconds asked for; a living identity keeps its own. */
            ttl: number;
            /**
             * Format: date-time
             * @description When the answer was made. RFC 3339, UTC, milliseconds.
             */
            generated: string;
        };
        ValidateIdentity: {
            /** @description Any text; its verdict is the answer. */
            identity: string;
        };
        ValidateToken: {
            /** @description Any text; good is the token of the identity: ours, in force, and of no life that was revoked. */
            token: string;
        };
        ValidateIdentityAndToken: {
            /** @description Any text; its verdict is the answer. */
            identity: string;
            /** @description Any text; good is the token of the identity: ours, in force, and of no life that was revoked. */
            token: string;
        };
        ValidateIdentities: {
            /** @description Any texts; each gets its verdict. */
            identities: string[];
        };
        /**
         * @example {
         *       "identity": "player-123456@sports.api.yourbook.com/v1:id"
         *     }
         * @example {
         *       "token": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJwbGF5ZXItMTIzNDU2QHNwb3J0cy5hcGkueW91cmJvb2suY29tL3YxOmlkIn0.Rf2ErwuB9JhGQoVGDdF0yAKKTqNdlmqeF4yTjzBQ3dk"
         *     }
         * @example {
         *       "identity": "player-123456@sports.api.yourbook.com/v1:id",
         *       "token": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJwbGF5ZXItMTIzNDU2QHNwb3J0cy5hcGkueW91cmJvb2suY29tL3YxOmlkIn0.Rf2ErwuB9JhGQoVGDdF0yAKKTqNdlmqeF4yTjzBQ3dk"
         *     }
         * @example {
         *       "identities": [
         *         "player-123456@sports.api.yourbook.com/v1:id",
         *         "not an identity"
         *       ]
         *     }
         */
        ValidationRequest: components["schemas"]["ValidateIdentity"] | components["schemas"]["ValidateToken"] | components["schemas"]["ValidateIdentityAndToken"] | components["schemas"]["ValidateIdentities"];
        VerdictMetadata: {
            /** @description Up to the first `-`. */
            prefix: string;
            /** @description After the first `-`, named or drawn. */
            run: string;
            /** @description Domain, in lower case. */
            domain: string;
            /** @description Version of the identity. */
            version: string;
            /** @constant */
            type: "disposable-identity";
            /** @constant */
            format: "rfc5322-compliant";
        };
        /**
         * @example {
         *       "identity": "player-123456@sports.api.yourbook.com/v1:id",
         *       "valid": true,
         *       "status": "active",
         *       "reason": "The identity was issued by this service and has not expired.",
         *       "well_formed": true,
         *       "rfc5322_compliant": true,
         *       "metadata": {
         *         "prefix": "player",
         *         "run": "123456",
         *         "domain": "sports.api.yourbook.com",
         *         "version": "v1",
         *         "type": "disposable-identity",
         *         "format": "rfc5322-compliant"
         *       },
         *       "cached": true,
         *       "generated": "2026-11-22T10:00:00.000Z",
         *       "expires": "2026-11-22T11:00:00.000Z",
         *       "validated": "2026-11-22T10:15:00.000Z"
         *     }
         */
        Verdict: {
            /** @description The text that was asked about, or the identity of the token that came alone; null where that can't be read. */
            identity: string | null;
            /** @description The verdict to act on: true only where `status` is `active`. */
            valid: boolean;
            /**
             * @description `malformed`: no identity, or a token of another identity or another service. `unknown`: well formed, but not on record. `unverifiable`: what is on record can't be read, or is not enough to check the token with.
             * @enum {string}
             */
            status: "active" | "expired" | "revoked" | "unknown" | "malformed" | "unverifiable";
            /** @description One plain sentence. */
            reason: string;
            /** @description The syntax alone. */
            well_formed: boolean;
            /** @description Whether the part before `/` is an RFC 5322 addr-spec. */
            rfc5322_compliant: boolean;
            metadata: components["schemas"]["VerdictMetadata"] | null;
            /** @description Found in the TTL cache, where an identity is until it expires. */
            cached: boolean;
            /**
             * Format: date-time
             * @description When it was issued or renewed. RFC 3339, UTC, milliseconds.
             */
            generated: string | null;
            /**
             * Format: date-time
             * @description When it ends or ended. RFC 3339, UTC, milliseconds.
             */
            expires: string | null;
            /**
             * Format: date-time
             * @description When this verdict was made. RFC 3339, UTC, milliseconds.
             */
            validated: string;
        };
        Verdicts: {
            /** @description In the order of the identities. */
            results: components["schemas"]["Verdict"][];
            /** @description How many verdicts. */
            total: number;
        };
        /**
         * @example {
         *       "identity": "player-123456@sports.api.yourbook.com/v1:id",
         *       "valid": true,
         *       "status": "active",
         *       "reason": "The identity was issued by this service and has not expired.",
         *       "well_formed": true,
         *       "rfc5322_compliant": true,
         *       "metadata": {
         *         "prefix": "player",
         *         "run": "123456",
         *         "domain": "sports.api.yourbook.com",
         *         "version": "v1",
         *         "type": "disposable-identity",
         *         "format": "rfc5322-compliant"
         *       },
         *       "cached": true,
         *       "generated": "2026-11-22T10:00:00.000Z",
         *       "expires": "2026-11-22T11:00:00.000Z",
         *       "validated": "2026-11-22T10:15:00.000Z"
         *     }
         */
        ValidationAnswer: components["schemas"]["Verdict"] | components["schemas"]["Verdicts"];
        RevokeIdentity: {
            /** @description The identity; its domain in any case. */
            identity: string;
        };
        RevokeIdentityByToken: {
            /** @description The identity; its domain in any case. */
            identity: string;
            /** @description The identity's own token: who holds it may end the identity. Without it a service token has to. */
            token: string;
        };
        RevokePrefix: {
            /** @description The prefix, in its own case. */
            prefix: string;
            /**
             * Format: date-time
             * @description Every life that began before this moment ends; from 1970 until now. RFC 3339, with `Z` or an offset; milliseconds count.
             */
            issued_before: string;
        };
        RevokeEverything: {
            /**
             * Format: date-time
             * @description Every life that began before this moment ends; from 1970 until now. RFC 3339, with `Z` or an offset; milliseconds count.
             */
            issued_before: string;
        };
        /**
         * @example {
         *       "identity": "player-123456@sports.api.yourbook.com/v1:id"
         *     }
         * @example {
         *       "identity": "player-123456@sports.api.yourbook.com/v1:id",
         *       "token": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJwbGF5ZXItMTIzNDU2QHNwb3J0cy5hcGkueW91cmJvb2suY29tL3YxOmlkIn0.Rf2ErwuB9JhGQoVGDdF0yAKKTqNdlmqeF4yTjzBQ3dk"
         *     }
         * @example {
         *       "prefix": "player",
         *       "issued_before": "2026-11-22T10:00:00.000Z"
         *     }
         * @example {
         *       "issued_before": "2026-11-22T10:00:00.000Z"
         *     }
         */
        RevocationRequest: components["schemas"]["RevokeIdentity"] | components["schemas"]["RevokeIdentityByToken"] | components["schemas"]["RevokePrefix"] | components["schemas"]["RevokeEverything"];
        RevokedIdentity: {
            /** @description The identity. */
            identity: string;
            /** @constant */
            status: "revoked";
            /** @description It was revoked before; nothing has changed. */
            already: boolean;
            /**
             * Format: date-time
             * @description When the newest life that is known began. RFC 3339, UTC, milliseconds.
             */
            generated: string;
            /**
             * Format: date-time
             * @description Every life that began at or before this moment is dead. RFC 3339, UTC, milliseconds.
             */
            revoked: string;
        };
        RevokedBefore: {
            /** @description Null: everything. */
            prefix: string | null;
            /** @constant */
            status: "revoked";
            /**
             * Format: date-time
             * @description Every life that began before this moment is dead. It never falls: where a later one was in force already, that one. RFC 3339, UTC, milliseconds.
             */
            issued_before: string;
        };
        /**
         * @example {
         *       "identity": "player-123456@sports.api.yourbook.com/v1:id",
         *       "status": "revoked",
         *       "already": false,
         *       "generated": "2026-11-22T10:00:00.000Z",
         *       "revoked": "2026-11-22T10:20:00.000Z"
         *     }
         * @example {
         *       "prefix": "player",
         *       "status": "revoked",
         *       "issued_before": "2026-11-22T10:20:00.000Z"
         *     }
         */
        Revocation: components["schemas"]["RevokedIdentity"] | components["schemas"]["RevokedBefore"];
        /**
         * @example {
         *       "events": [
         *         {
         *           "sequence": 4711,
         *           "event": "issued",
         *           "at": "2026-11-22T10:00:00.000Z",
         *           "identity": "player-123456@sports.api.yourbook.com/v1:id",
         *           "prefix": "player",
         *           "run": "123456",
         *           "domain": "sports.api.yourbook.com",
         *           "version": "v1",
         *           "generated": "2026-11-22T10:00:00.000Z",
         *           "expires": "2026-11-22T11:00:00.000Z",
         *           "issued_before": null,
         *           "environment": "prod",
         *           "caller": "sub:sports-book",
         *           "request_id": "deploy-7",
         *           "token": null,
         *           "subject": null,
         *           "rate_limit": null
         *         }
         *       ],
         *       "total": 1,
         *       "cursor": "1795341600000-4711"
         *     }
         */
        Audit: {
            /** @description Newest first. */
            events: components["schemas"]["AuditEvent"][];
            /** @description How many events this page has. */
            total: number;
            /** @description Where the next page begins; null: this is the last one. */
            cursor: string | null;
        };
        /**
         * @description What does not apply is null.
         * @example {
         *       "sequence": 4711,
         *       "event": "issued",
         *       "at": "2026-11-22T10:00:00.000Z",
         *       "identity": "player-123456@sports.api.yourbook.com/v1:id",
         *       "prefix": "player",
         *       "run": "123456",
         *       "domain": "sports.api.yourbook.com",
         *       "version": "v1",
         *       "generated": "2026-11-22T10:00:00.000Z",
         *       "expires": "2026-11-22T11:00:00.000Z",
         *       "issued_before": null,
         *       "environment": "prod",
         *       "caller": "sub:sports-book",
         *       "request_id": "deploy-7",
         *       "token": null,
         *       "subject": null,
         *       "rate_limit": null
         *     }
         */
        AuditEvent: {
            /** @description Number of the event; not without gaps. */
            sequence: number;
            /**
             * @description What has happened; `audit_read`: the ledger was read.
             * @enum {string}
             */
            event: "issued" | "renewed" | "revoked" | "revoked_prefix" | "revoked_all" | "audit_read" | "token_minted" | "token_revoked" | "token_limited";
            /**
             * Format: date-time
             * @description When: of a life its `generated`. RFC 3339, UTC, milliseconds.
             */
            at: string;
            /** @description Null where the event is not of one identity. */
            identity: string | null;
            /** @description Of the identity, or what was revoked or asked for. */
            prefix: string | null;
            /** @description Of the identity, or what was asked for. */
            run: string | null;
            /** @description Domain, in lower case. */
            domain: string | null;
            /** @description Version of the identity. */
            version: string | null;
            /**
             * Format: date-time
             * @description When the life began. RFC 3339, UTC, milliseconds.
             */
            generated: string | null;
            /**
             * Format: date-time
             * @description When it ends. RFC 3339, UTC, milliseconds.
             */
            expires: string | null;
            /**
             * Format: date-time
             * @description Of a revocation: lives that began before are dead. RFC 3339, UTC, milliseconds.
             */
            issued_before: string | null;
            /** @description The name that a batch gave it. */
            environment: string | null;
            /** @description Who asked, as in `client` of the limits. */
            caller: string;
            /** @description The `X-Request-Id` of its answer. */
            request_id: string | null;
            /** @description Id of a service token. */
            token: string | null;
            /** @description Of that token, or of all tokens that were withdrawn. */
            subject: string | null;
            /** @description Of that token, in requests a window. */
            rate_limit: number | null;
        };
        Key: {
            /** @constant */
            kty: "OKP";
            /** @constant */
            crv: "Ed25519";
            /** @description The public key (RFC 8037). */
            x: string;
            /** @description As in a token's header; its RFC 7638 thumbprint. */
            kid: string;
            /** @constant */
            use: "sig";
            /** @constant */
            alg: "EdDSA";
        };
        /**
         * @description A JWK Set (RFC 7517).
         * @example {
         *       "keys": [
         *         {
         *           "kty": "OKP",
         *           "crv": "Ed25519",
         *           "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
         *           "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
         *           "use": "sig",
         *           "alg": "EdDSA"
         *         }
         *       ]
         *     }
         */
        KeySet: {
            /** @description Empty while identity tokens are signed with the secret. */
            keys: components["schemas"]["Key"][];
        };
        LimitPolicy: {
            /** @description Its name. */
            policy: string;
            /** @description Requests in a window. */
            limit: number;
            /** @description Seconds of the window. */
            window: number;
            /** @description Requests that would pass now. */
            remaining: number;
            /** @description Seconds until all of the limit is there again. */
            reset: number;
        };
        /**
         * @example {
         *       "client": "203.0.113.9",
         *       "policy": "default",
         *       "limit": 100,
         *       "window": 3600,
         *       "remaining": 99,
         *       "reset": 36,
         *       "policies": [
         *         {
         *           "policy": "default",
         *           "limit": 100,
         *           "window": 3600,
         *           "remaining": 99,
         *           "reset": 36
         *         }
         *       ]
         *     }
         */
        Limits: {
            /** @description Who is charged: an IPv4 address, an IPv6 /64 network, or `sub:` and the subject of a service token, and behind `>` the end user in `Arsenal-Subject`. */
            client: string;
            /** @description Name in `RateLimit-Policy`: `default`, `token` with a service token's own limit, `subject`, or as the limits file has it; of several the one that stops the caller first; null: no limit. */
            policy: string | null;
            /** @description Requests in a window; null: no limit. */
            limit: number | null;
            /** @description Seconds of the window. */
            window: number | null;
            /** @description Requests that would pass now. */
            remaining: number | null;
            /** @description Seconds until all of the limit is there again. */
            reset: number;
            /** @description All policies for the caller; empty: no limit. */
            policies: components["schemas"]["LimitPolicy"][];
        };
        /** @description One word for each. */
        HealthServices: {
            /**
             * @description The ledger. `degraded`: it can be read or written, but not both. `disabled`: `DATABASE_URL` is `none`.
             * @enum {string}
             */
            database: "healthy" | "degraded" | "unavailable" | "disabled";
            /**
             * @description The shared state. `embedded`: in the process, without Redis.
             * @enum {string}
             */
            redis: "healthy" | "unavailable" | "embedded";
            /**
             * @description Where the service is in its life.
             * @enum {string}
             */
            api: "starting" | "healthy" | "draining";
        };
        /** @description Why a service or a changed file (`limits`, `issuers`) can't be used; else absent. */
        HealthReasons: {
            /** @description One sentence, without addresses and passwords. */
            redis?: string;
            /** @description One sentence, without addresses and passwords. */
            database?: string;
            /** @description One sentence, without addresses and passwords. */
            limits?: string;
            /** @description One sentence, without addresses and passwords. */
            issuers?: string;
        };
        /** @description Since when it can't be used, to a second; absent with `reasons`. */
        HealthSince: {
            /**
             * Format: date-time
             * @description Since when. RFC 3339, UTC, milliseconds.
             */
            redis?: string;
            /**
             * Format: date-time
             * @description Since when. RFC 3339, UTC, milliseconds.
             */
            database?: string;
            /**
             * Format: date-time
             * @description Since when. RFC 3339, UTC, milliseconds.
             */
            limits?: string;
            /**
             * Format: date-time
             * @description Since when. RFC 3339, UTC, milliseconds.
             */
            issuers?: string;
        };
        /** @description What to do about it; absent with `reasons`. */
        HealthRunbooks: {
            /**
             * Format: uri
             * @description URL of the page of the documentation.
             */
            redis?: string;
            /**
             * Format: uri
             * @description URL of the page of the documentation.
             */
            database?: string;
            /**
             * Format: uri
             * @description URL of the page of the documentation.
             */
            limits?: string;
            /**
             * Format: uri
             * @description URL of the page of the documentation.
             */
            issuers?: string;
        };
        /**
         * @example {
         *       "status": "healthy",
         *       "services": {
         *         "database": "healthy",
         *         "redis": "healthy",
         *         "api": "healthy"
         *       },
         *       "uptime": 3600,
         *       "version": "v4.2.0"
         *     }
         */
        Health: {
            /**
             * @description `degraded`: serving, but a dependency is away. `unhealthy`: starting or draining.
             * @enum {string}
             */
            status: "healthy" | "degraded" | "unhealthy";
            services: components["schemas"]["HealthServices"];
            /** @description Seconds since the start. */
            uptime: number;
            version: string;
            reasons?: components["schemas"]["HealthReasons"];
            since?: components["schemas"]["HealthSince"];
            runbooks?: components["schemas"]["HealthRunbooks"];
        };
        Probe: {
            /** @description One word. */
            status: string;
        };
        /** @description One word for each. */
        TelemetryServices: {
            /**
             * @description The ledger. `degraded`: it can be read or written, but not both. `disabled`: `DATABASE_URL` is `none`.
             * @enum {string}
             */
            database: "healthy" | "degraded" | "unavailable" | "disabled";
            /**
             * @description The shared state. `embedded`: in the process, without Redis.
             * @enum {string}
             */
            redis: "healthy" | "unavailable" | "embedded";
            /**
             * @description Where the service is in its life.
             * @enum {string}
             */
            api: "starting" | "healthy" | "draining";
        };
        TelemetryRequests: {
            /** @description Answers. */
            total: number;
            /** @description The exact status below 500, and `5xx`. */
            by_status: {
                [key: string]: number;
            };
            /** @description Answers with a status of 500 and above. */
            errors: number;
            /** @description Answers a second, of late; null until there were two looks. */
            rate: number | null;
        };
        /** @description From the request's last byte to the answer, since the start; estimated from a histogram. */
        TelemetryLatency: {
            /** @description Milliseconds; null before the first request. */
            p50: number | null;
            /** @description Milliseconds; null before the first request. */
            p90: number | null;
            /** @description Milliseconds; null before the first request. */
            p99: number | null;
        };
        TelemetryCache: {
            /** @description Look-ups of an identity. */
            lookups: number;
            /** @description Those that found a living record. */
            hits: number;
            /** @description Hits over look-ups; null before the first. */
            ratio: number | null;
            /** @description Identities in the workers' memory. */
            entries: number;
        };
        TelemetryIdentities: {
            /** @description New lives. */
            issued: number;
            /** @description Lives renewed in their last quarter. */
            renewed: number;
            /** @description Issued by one worker alone while the shared store was away. */
            issued_without_store: number;
            /** @description Revocations: of one identity, of a prefix or of everything. */
            revoked: number;
        };
        TelemetryLedger: {
            /**
             * @description The ledger. `degraded`: it can be read or written, but not both. `disabled`: `DATABASE_URL` is `none`.
             * @enum {string}
             */
            status: "healthy" | "degraded" | "unavailable" | "disabled";
            /** @description Rows that wait to be written now; more than a few: it is away or slow. */
            waiting: number;
            /** @description Rows that it will never have: there was no memory left to wait in. */
            dropped: number;
            /** @description Rows written. */
            rows: number;
            /** @description Commits, each of many rows. */
            commits: number;
            /** @description Tries that found it locked, full or away. */
            failures: number;
        };
        LimiterPolicy: {
            /** @description Its name. */
            policy: string;
            /** @description Requests in a window. */
            limit: number;
            /** @description Seconds of the window. */
            window: number;
            /** @description Whether it only counts what it would have refused. */
            shadow: boolean;
        };
        TelemetryLimiter: {
            /** @description Null: there is a limits file, or no limit. */
            policy: string | null;
            /** @description Requests in a window. */
            limit: number | null;
            /** @description Seconds of the window. */
            window: number | null;
            /** @description Those of the limits file, or the default one. */
            policies: components["schemas"]["LimiterPolicy"][];
            /** @description Requests that shadow policies would have refused, by the name of the policy. */
            shadow_refused: {
                [key: string]: number;
            };
            /** @description Requests let through. */
            allowed: number;
            /** @description Requests refused. */
            denied: number;
            /** @description Those refused from memory, without the store. */
            denied_locally: number;
            /** @description Requests decided by one worker alone while the shared store was away. */
            fallback: number;
            /** @description Commands that carried the decisions. */
            batches: number;
        };
        Heaviest: {
            /** @description As in `client` of the limits. */
            client: string;
            /** @description At least so many. */
            requests: number;
        };
        MostRefused: {
            /** @description As in `client` of the limits. */
            client: string;
            /** @description At least so many. */
            requests: number;
        };
        /** @description Only for a service token of scope `metrics`; null for others. */
        TelemetryCallers: {
            /** @description How long was counted: since the start, or the last 5 to 10 minutes. */
            seconds: number;
            /** @description Who sent most requests that are charged, in descending order. */
            heaviest: components["schemas"]["Heaviest"][];
            /** @description Each may have so many more; who is not among the first 128 has at most so many. */
            heaviest_error: number;
            /** @description Who was answered 429 most often, in descending order. */
            most_refused: components["schemas"]["MostRefused"][];
            /** @description Each may have so many more; who is not among the first 128 has at most so many. */
            most_refused_error: number;
        };
        TelemetryRedis: {
            /**
             * @description The shared state. `embedded`: in the process, without Redis.
             * @enum {string}
             */
            status: "healthy" | "unavailable" | "embedded";
            /** @description Commands sent. */
            commands: number;
            /** @description Times that no answer came in time. */
            timeouts: number;
            /** @description Limiter cells and identities that one command carried. */
            rows_per_command: number | null;
            /** @description Mean milliseconds of a round trip. */
            round_trip_ms_mean: number | null;
        };
        TelemetryConnections: {
            /** @description Open now. */
            open: number;
            /** @description Accepted. */
            accepted: number;
            /** @description Answered 503 for there were too many. */
            shed: number;
            /** @description Closed by a time-out. */
            timed_out: number;
        };
        TelemetryProcess: {
            /** @description User and system time. */
            cpu_seconds: number;
            /** @description Memory in use now. */
            resident_memory_bytes: number;
            /** @description File descriptors open now. */
            open_fds: number;
            /**
             * Format: date-time
             * @description Start of the oldest worker. RFC 3339, UTC, milliseconds.
             */
            started: string | null;
            /** @description Runs of the garbage collector. */
            gc_collections: number;
        };
        Interval: {
            /**
             * Format: date-time
             * @description When the interval ended. RFC 3339, UTC, milliseconds.
             */
            at: string;
            /** @description How long it was. */
            seconds: number;
            /** @description Calls of `/api/v1/`: no probes, scrapes or pages. */
            requests: number;
            /** @description Those answered 429. */
            refused: number;
            /** @description Those answered with a status of 500 and above. */
            errors: number;
            /** @description Their latency in milliseconds; null without calls. */
            p50: number | null;
            /** @description The same. */
            p99: number | null;
            /** @description Mean milliseconds of Redis's round trips; null without any. */
            round_trip_ms: number | null;
            /** @description Rows that waited to be written to the ledger at its end. */
            waiting: number;
        };
        /** @description The sum over the workers. */
        Telemetry: {
            /**
             * Format: date-time
             * @description When the counts were taken: at most a second ago. RFC 3339, UTC, milliseconds.
             */
            timestamp: string;
            /**
             * @description `degraded`: serving, but a dependency is away. `unhealthy`: starting or draining.
             * @enum {string}
             */
            status: "healthy" | "degraded" | "unhealthy";
            services: components["schemas"]["TelemetryServices"];
            /** @description Seconds since the start. */
            uptime: number;
            version: string;
            /** @description Workers that are alive; what counts up is the sum over all that ever were. */
            workers: number;
            requests: components["schemas"]["TelemetryRequests"];
            latency: components["schemas"]["TelemetryLatency"];
            cache: components["schemas"]["TelemetryCache"];
            identities: components["schemas"]["TelemetryIdentities"];
            ledger: components["schemas"]["TelemetryLedger"];
            limiter: components["schemas"]["TelemetryLimiter"];
            callers: components["schemas"]["TelemetryCallers"] | null;
            redis: components["schemas"]["TelemetryRedis"];
            connections: components["schemas"]["TelemetryConnections"];
            process: components["schemas"]["TelemetryProcess"];
            /** @description The last five minutes, oldest interval first. */
            history: components["schemas"]["Interval"][];
        };
        /**
         * @example {
         *       "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
         *       "subject_token": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJwbGF5ZXItMTIzNDU2QHNwb3J0cy5hcGkueW91cmJvb2suY29tL3YxOmlkIn0.Rf2ErwuB9JhGQoVGDdF0yAKKTqNdlmqeF4yTjzBQ3dk",
         *       "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
         *       "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
         *       "scope": "issue:ci"
         *     }
         */
        TokenRequest: {
            /** @constant */
            grant_type: "urn:ietf:params:oauth:grant-type:token-exchange";
            /** @description The ID token. */
            subject_token: string;
            /**
             * @description Its type.
             * @enum {string}
             */
            subject_token_type: "urn:ietf:params:oauth:token-type:id_token" | "urn:ietf:params:oauth:token-type:jwt";
            /**
             * @description Type of the token to be issued.
             * @enum {string}
             */
            requested_token_type?: "urn:ietf:params:oauth:token-type:access_token" | "urn:ietf:params:oauth:token-type:jwt";
            /** @description Scopes of the rule, between spaces; all by default. */
            scope?: string;
        };
        /**
         * @description RFC 8693 section 2.2.1.
         * @example {
         *       "access_token": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJwbGF5ZXItMTIzNDU2QHNwb3J0cy5hcGkueW91cmJvb2suY29tL3YxOmlkIn0.Rf2ErwuB9JhGQoVGDdF0yAKKTqNdlmqeF4yTjzBQ3dk",
         *       "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
         *       "token_type": "Bearer",
         *       "expires_in": 600,
         *       "scope": "issue:ci"
         *     }
         */
        TokenAnswer: {
            /** @description The service token, for `Authorization: Bearer`. */
            access_token: string;
            /** @constant */
            issued_token_type: "urn:ietf:params:oauth:token-type:access_token";
            /** @constant */
            token_type: "Bearer";
            /** @description Seconds until it expires. */
            expires_in: number;
            /** @description `issue:` and a prefix, for each prefix of the rule. */
            scope: string;
        };
        /**
         * @description RFC 6749 section 5.2.
         * @example {
         *       "error": "invalid_request",
         *       "error_description": "The token has expired."
         *     }
         */
        TokenError: {
            /**
             * @description The kind of error.
             * @enum {string}
             */
            error: "invalid_request" | "unsupported_grant_type" | "invalid_scope" | "invalid_target" | "temporarily_unavailable";
            /** @description One sentence. */
            error_description: string;
        };
        ProblemKindsProblems: {
            /**
             * Format: uri-reference
             * @description Kind of problem: the path of a page that says what it means; all of them are at `/problems`. Behind a proxy that gives the service a path prefix, the prefix stands before it.
             */
            type: string;
            status: number;
            /** @description The kind in words. */
            title: string;
            /** @description What has happened. */
            meaning: string;
            /** @description What the client can do. */
            remedy: string;
        };
        /**
         * @example {
         *       "problems": [
         *         {
         *           "type": "/problems/invalid-request",
         *           "status": 400,
         *           "title": "Parameters or members of the request are invalid",
         *           "meaning": "A query parameter or a member of the body is missing, unknown, repeated, or has a value out of range.",
         *           "remedy": "Correct what `errors` names, by parameter or JSON pointer. Nothing was done, so the request can be repeated."
         *         }
         *       ]
         *     }
         */
        ProblemKinds: {
            /** @description In the order of their status. */
            problems: components["schemas"]["ProblemKindsProblems"][];
        };
        Fault: {
            /** @description JSON pointer (RFC 6901) into the body. */
            pointer?: string;
            /** @description Name of the query parameter. */
            parameter?: string;
            /** @description What is allowed. */
            detail: string;
        };
        /**
         * @description RFC 9457.
         * @example {
         *       "type": "/problems/invalid-request",
         *       "title": "Parameters or members of the request are invalid",
         *       "status": 400,
         *       "detail": "The request has 1 fault; nothing was done.",
         *       "request_id": "deploy-7",
         *       "errors": [
         *         {
         *           "pointer": "/environments/3/prefix",
         *           "detail": "prefix must be 1 to 62 of A-Z a-z 0-9 _ . ..."
         *         }
         *       ]
         *     }
         */
        Problem: {
            /**
             * Format: uri-reference
             * @description Kind of problem: the path of a page that says what it means; all of them are at `/problems`. Behind a proxy that gives the service a path prefix, the prefix stands before it.
             */
            type: string;
            /** @description The kind in words. */
            title: string;
            status: number;
            /** @description What is wrong with this request. */
            detail: string;
            /** @description The `X-Request-Id` of the answer. */
            request_id: string;
            /** @description Every bad member or parameter. */
            errors?: components["schemas"]["Fault"][];
            /** @description Names of the rate-limit policies that are used up (status 429). */
            "violated-policies"?: string[];
        };
        /**
         * @example {
         *       "id": "5b1f0c9d2e7a48b63c11",
         *       "name": "sports-book, Frankfurt",
         *       "subject": "sports-book",
         *       "scope": "issue behalf",
         *       "rate_limit": 1000000,
         *       "per_subject": 60,
         *       "issued": "2026-11-22T10:00:00.000Z",
         *       "expires": "2027-02-20T10:00:00.000Z",
         *       "created_by": "sub:operator",
         *       "last_used": "2026-11-22T12:34:00.000Z",
         *       "status": "active"
         *     }
         */
        Token: {
            /** @description Of one token: the beginning of the SHA-256 of its signature. */
            id: string;
            /** @description For people: what this token is used for. */
            name: string;
            /** @description Whom the token is for: who is charged, logged and audited. */
            subject: string;
            /** @description What it allows, between spaces, each once: issue, revoke, audit, metrics, tokens, behalf, or `issue:` and one protected prefix; empty: nothing but its limit. */
            scope: string;
            /** @description Requests in a window, as they are now. */
            rate_limit: number;
            /** @description Requests in a window of each end user; with the scope `behalf`, and only with it. */
            per_subject: number | null;
            /**
             * Format: date-time
             * @description When it was minted. RFC 3339, UTC, milliseconds.
             */
            issued: string;
            /**
             * Format: date-time
             * @description When it ends. RFC 3339, UTC, milliseconds.
             */
            expires: string;
            /** @description Who had it minted: a caller, or `cli`. */
            created_by: string;
            /**
             * Format: date-time
             * @description When it was last used, to the minute; null: not yet. RFC 3339, UTC, milliseconds.
             */
            last_used: string | null;
            /**
             * @description Whether it is good.
             * @enum {string}
             */
            status: "active" | "revoked" | "expired";
        };
        /**
         * @example {
         *       "tokens": [
         *         {
         *           "id": "5b1f0c9d2e7a48b63c11",
         *           "name": "sports-book, Frankfurt",
         *           "subject": "sports-book",
         *           "scope": "issue behalf",
         *           "rate_limit": 1000000,
         *           "per_subject": 60,
         *           "issued": "2026-11-22T10:00:00.000Z",
         *           "expires": "2027-02-20T10:00:00.000Z",
         *           "created_by": "sub:operator",
         *           "last_used": "2026-11-22T12:34:00.000Z",
         *           "status": "active"
         *         }
         *       ],
         *       "total": 1,
         *       "cursor": "1795341600000-5b1f0c9d2e7a48b63c11"
         *     }
         */
        TokenPage: {
            /** @description Newest first. */
            tokens: components["schemas"]["Token"][];
            /** @description How many tokens this page has. */
            total: number;
            /** @description Where the next page begins; null: this is the last one. */
            cursor: string | null;
        };
        /**
         * @example {
         *       "subject": "sports-book",
         *       "scope": "issue behalf",
         *       "rate_limit": 1000000,
         *       "days": 90,
         *       "per_subject": 60,
         *       "name": "sports-book, Frankfurt"
         *     }
         */
        TokenOrder: {
            /** @description Whom the token is for: who is charged, logged and audited. */
            subject: string;
            /** @description What it allows, between spaces, each once: issue, revoke, audit, metrics, tokens, behalf, or `issue:` and one protected prefix; empty: nothing but its limit. Left out: empty. */
            scope?: string;
            /** @description Requests in a window of all tokens of the subject. */
            rate_limit: number;
            /** @description How long it holds. Left out: 90. */
            days?: number;
            /** @description Requests in a window of each end user; with the scope `behalf`, and only with it. */
            per_subject?: number;
            /** @description For people: what this token is used for. Left out: the subject. */
            name?: string;
        };
        /**
         * @example {
         *       "id": "5b1f0c9d2e7a48b63c11",
         *       "name": "sports-book, Frankfurt",
         *       "subject": "sports-book",
         *       "scope": "issue behalf",
         *       "rate_limit": 1000000,
         *       "per_subject": 60,
         *       "issued": "2026-11-22T10:00:00.000Z",
         *       "expires": "2027-02-20T10:00:00.000Z",
         *       "created_by": "sub:operator",
         *       "last_used": "2026-11-22T12:34:00.000Z",
         *       "status": "active",
         *       "token": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJwbGF5ZXItMTIzNDU2QHNwb3J0cy5hcGkueW91cmJvb2suY29tL3YxOmlkIn0.Rf2ErwuB9JhGQoVGDdF0yAKKTqNdlmqeF4yTjzBQ3dk"
         *     }
         */
        MintedToken: {
            /** @description Of one token: the beginning of the SHA-256 of its signature. */
            id: string;
            /** @description For people: what this token is used for. */
            name: string;
            /** @description Whom the token is for: who is charged, logged and audited. */
            subject: string;
            /** @description What it allows, between spaces, each once: issue, revoke, audit, metrics, tokens, behalf, or `issue:` and one protected prefix; empty: nothing but its limit. */
            scope: string;
            /** @description Requests in a window, as they are now. */
            rate_limit: number;
            /** @description Requests in a window of each end user; with the scope `behalf`, and only with it. */
            per_subject: number | null;
            /**
             * Format: date-time
             * @description When it was minted. RFC 3339, UTC, milliseconds.
             */
            issued: string;
            /**
             * Format: date-time
             * @description When it ends. RFC 3339, UTC, milliseconds.
             */
            expires: string;
            /** @description Who had it minted: a caller, or `cli`. */
            created_by: string;
            /**
             * Format: date-time
             * @description When it was last used, to the minute; null: not yet. RFC 3339, UTC, milliseconds.
             */
            last_used: string | null;
            /**
             * @description Whether it is good.
             * @enum {string}
             */
            status: "active" | "revoked" | "expired";
            /** @description The token; it is shown here and never again. */
            token: string;
        };
        RevokeToken: {
            /** @description Of one token: the beginning of the SHA-256 of its signature. */
            id: string;
        };
        RevokeTokensOfSubject: {
            /** @description Whom the token is for: who is charged, logged and audited. */
            subject: string;
        };
        /**
         * @example {
         *       "id": "5b1f0c9d2e7a48b63c11"
         *     }
         * @example {
         *       "subject": "sports-book"
         *     }
         */
        TokenRevocation: components["schemas"]["RevokeToken"] | components["schemas"]["RevokeTokensOfSubject"];
        /**
         * @example {
         *       "id": "5b1f0c9d2e7a48b63c11",
         *       "rate_limit": 1000000
         *     }
         */
        TokenLimit: {
            /** @description Of one token: the beginning of the SHA-256 of its signature. */
            id: string;
            /** @description Requests in a window of all tokens of the subject. */
            rate_limit: number;
        };
        /**
         * @example {
         *       "id": "5b1f0c9d2e7a48b63c11",
         *       "subject": "sports-book",
         *       "status": "revoked",
         *       "rate_limit": 1000000,
         *       "known": true,
         *       "at": "2026-11-22T10:20:00.000Z"
         *     }
         */
        TokenChange: {
            /** @description Null: all tokens of the subject. */
            id: string | null;
            /** @description Null where the ledger does not know the token. */
            subject: string | null;
            /**
             * @description What was done.
             * @enum {string}
             */
            status: "revoked" | "limited";
            /** @description Requests in a window from now on; null: withdrawn. */
            rate_limit: number | null;
            /** @description Whether the ledger knows a token of this id or subject. */
            known: boolean;
            /**
             * Format: date-time
             * @description When it was decided. RFC 3339, UTC, milliseconds.
             */
            at: string;
        };
    };
    responses: never;
    parameters: {
        /** @description The end user on whose behalf a service token of scope `behalf` sends the request, such as `tg-4711`: it is charged to the token's limit and to this subject's, or to neither. */
        "Arsenal-Subject": string;
    };
    requestBodies: never;
    headers: {
        /**
         * @description Requests that the caller may make in a window. Absent where no limit is set.
         * @example 100
         */
        "X-RateLimit-Limit": number;
        /**
         * @description Requests that would pass now.
         * @example 99
         */
        "X-RateLimit-Remaining": number;
        /**
         * @description Seconds from now until all of the limit is there again.
         * @example 36
         */
        "X-RateLimit-Reset": number;
        /**
         * @description The policy: `q` requests in `w` seconds (draft-ietf-httpapi-ratelimit-headers). With `Arsenal-Subject` two: the caller's and the subject's.
         * @example "default";q=100;w=3600
         */
        "RateLimit-Policy": string;
        /**
         * @description What is left of it: `r` requests now, all of them in `t` seconds.
         * @example "default";r=99;t=36
         */
        RateLimit: string;
        /**
         * @description Seconds after which the request is worth repeating.
         * @example 36
         */
        "Retry-After": number;
        /** @description The request's own `X-Request-Id`, or one made here. */
        "X-Request-Id": string;
        /**
         * @description What would do (RFC 6750). Absent from a 403 that another service token would not change.
         * @example Bearer realm="arsenal-identity", error="insufficient_scope", scope="audit"
         */
        "WWW-Authenticate": string;
        /**
         * @description Methods that the path answers to.
         * @example GET, HEAD, OPTIONS
         */
        Allow: string;
        /**
         * @description Media type that the body must have.
         * @example application/json
         */
        Accept: string;
        /**
         * @description Present where the body's `Content-Encoding` is why: no other coding is taken.
         * @example identity
         */
        "Accept-Encoding": string;
        /** @description Send it as `If-None-Match` to be answered 304 while nothing has changed. */
        ETag: string;
    };
    pathItems: never;
}
export type $defs = Record<string, never>;
export interface operations {
    issue_one: {
        parameters: {
            query?: {
                /**
                 * @description What the identity is for. No `-`: the first `-` of an identity ends its prefix. Prefix and run, with the `-` between them, have at most 64 characters. Without a run the prefix has at most 37. Left out: `unknown`.
                 * @example player
                 */
                prefix?: string;
                /**
                 * @description The user or run it is for: a number, a UUID, a word. Left out: a new one that can't be guessed is drawn, `_` and 25 of `0-9 a-z` without `i l o u`, in the order of time. Runs of that form can't be named. Prefix and run, with the `-` between them, have at most 64 characters.
                 * @example 123456
                 */
                run?: string;
                /**
                 * @description Domain of the identity, folded to lower case. Left out: the service's own.
                 * @example sports.api.yourbook.com
                 */
                domain?: string;
                /**
                 * @description Version of the identity. Left out: `v1`.
                 * @example v1
                 */
                version?: string;
                /**
                 * @description Whole seconds to live (`3600`, not `3600.0`), for the request that issues; a living identity keeps its own. Left out: 3600.
                 * @example 3600
                 */
                ttl?: number;
            };
            header?: {
                /** @description The end user on whose behalf a service token of scope `behalf` sends the request, such as `tg-4711`: it is charged to the token's limit and to this subject's, or to neither. */
                "Arsenal-Subject"?: components["parameters"]["Arsenal-Subject"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The identity. */
            200: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Identity"];
                };
            };
            /** @description The request is malformed, or members of it are. */
            400: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/invalid-request",
                     *       "title": "Parameters or members of the request are invalid",
                     *       "status": 400,
                     *       "detail": "The request has 1 fault; nothing was done.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service token is bad, or one is needed and none came. */
            401: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "WWW-Authenticate": components["headers"]["WWW-Authenticate"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/invalid-token",
                     *       "title": "The service token is refused",
                     *       "status": 401,
                     *       "detail": "The token has expired.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service token lacks the scope. */
            403: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "WWW-Authenticate": components["headers"]["WWW-Authenticate"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/insufficient-scope",
                     *       "title": "The service token does not allow this",
                     *       "status": 403,
                     *       "detail": "The audit needs the scope audit.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The path does not answer to this method. */
            405: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    Allow: components["headers"]["Allow"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/method-not-allowed",
                     *       "title": "The path does not answer to this method",
                     *       "status": 405,
                     *       "detail": "This path answers to GET, HEAD, OPTIONS only.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The caller has used up its rate limit. */
            429: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "Retry-After": components["headers"]["Retry-After"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/quota-exceeded",
                     *       "title": "Request cannot be satisfied as assigned quota has been exceeded",
                     *       "status": 429,
                     *       "detail": "This client has used its 100 requests per 3600 s; try again in 36 s.",
                     *       "request_id": "deploy-7",
                     *       "violated-policies": [
                     *         "default"
                     *       ]
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service can't take the request now. */
            503: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "Retry-After": components["headers"]["Retry-After"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/unavailable",
                     *       "title": "The service can't take the request now",
                     *       "status": 503,
                     *       "detail": "There are too many connections; try again.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    issue_batch: {
        parameters: {
            query?: never;
            header?: {
                /** @description The end user on whose behalf a service token of scope `behalf` sends the request, such as `tg-4711`: it is charged to the token's limit and to this subject's, or to neither. */
                "Arsenal-Subject"?: components["parameters"]["Arsenal-Subject"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["BatchRequest"];
            };
        };
        responses: {
            /** @description The identities, in the order of the environments. */
            200: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Batch"];
                };
            };
            /** @description The request is malformed, or members of it are. */
            400: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/invalid-request",
                     *       "title": "Parameters or members of the request are invalid",
                     *       "status": 400,
                     *       "detail": "The request has 1 fault; nothing was done.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service token is bad, or one is needed and none came. */
            401: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "WWW-Authenticate": components["headers"]["WWW-Authenticate"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/invalid-token",
                     *       "title": "The service token is refused",
                     *       "status": 401,
                     *       "detail": "The token has expired.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service token lacks the scope. */
            403: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "WWW-Authenticate": components["headers"]["WWW-Authenticate"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/insufficient-scope",
                     *       "title": "The service token does not allow this",
                     *       "status": 403,
                     *       "detail": "The audit needs the scope audit.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The path does not answer to this method. */
            405: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    Allow: components["headers"]["Allow"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/method-not-allowed",
                     *       "title": "The path does not answer to this method",
                     *       "status": 405,
                     *       "detail": "This path answers to GET, HEAD, OPTIONS only.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is over 1 MiB. */
            413: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/content-too-large",
                     *       "title": "The body is too large",
                     *       "status": 413,
                     *       "detail": "The body is longer than 1048576 bytes.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is not JSON by its `Content-Type`, or is compressed. */
            415: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    Accept: components["headers"]["Accept"];
                    "Accept-Encoding": components["headers"]["Accept-Encoding"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/unsupported-media-type",
                     *       "title": "The body's media type or coding is not supported",
                     *       "status": 415,
                     *       "detail": "The body must be application/json.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The caller has used up its rate limit. */
            429: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "Retry-After": components["headers"]["Retry-After"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/quota-exceeded",
                     *       "title": "Request cannot be satisfied as assigned quota has been exceeded",
                     *       "status": 429,
                     *       "detail": "This client has used its 100 requests per 3600 s; try again in 36 s.",
                     *       "request_id": "deploy-7",
                     *       "violated-policies": [
                     *         "default"
                     *       ]
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service can't take the request now. */
            503: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "Retry-After": components["headers"]["Retry-After"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/unavailable",
                     *       "title": "The service can't take the request now",
                     *       "status": 503,
                     *       "detail": "There are too many connections; try again.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    validate: {
        parameters: {
            query?: never;
            header?: {
                /** @description The end user on whose behalf a service token of scope `behalf` sends the request, such as `tg-4711`: it is charged to the token's limit and to this subject's, or to neither. */
                "Arsenal-Subject"?: components["parameters"]["Arsenal-Subject"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ValidationRequest"];
            };
        };
        responses: {
            /** @description The verdict, or the verdicts in the order of the identities. */
            200: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ValidationAnswer"];
                };
            };
            /** @description The request is malformed, or members of it are. */
            400: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/invalid-request",
                     *       "title": "Parameters or members of the request are invalid",
                     *       "status": 400,
                     *       "detail": "The request has 1 fault; nothing was done.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service token is bad, or one is needed and none came. */
            401: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "WWW-Authenticate": components["headers"]["WWW-Authenticate"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/invalid-token",
                     *       "title": "The service token is refused",
                     *       "status": 401,
                     *       "detail": "The token has expired.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service token lacks the scope. */
            403: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "WWW-Authenticate": components["headers"]["WWW-Authenticate"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/insufficient-scope",
                     *       "title": "The service token does not allow this",
                     *       "status": 403,
                     *       "detail": "The audit needs the scope audit.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The path does not answer to this method. */
            405: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    Allow: components["headers"]["Allow"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/method-not-allowed",
                     *       "title": "The path does not answer to this method",
                     *       "status": 405,
                     *       "detail": "This path answers to GET, HEAD, OPTIONS only.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is over 1 MiB. */
            413: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/content-too-large",
                     *       "title": "The body is too large",
                     *       "status": 413,
                     *       "detail": "The body is longer than 1048576 bytes.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is not JSON by its `Content-Type`, or is compressed. */
            415: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    Accept: components["headers"]["Accept"];
                    "Accept-Encoding": components["headers"]["Accept-Encoding"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/unsupported-media-type",
                     *       "title": "The body's media type or coding is not supported",
                     *       "status": 415,
                     *       "detail": "The body must be application/json.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The caller has used up its rate limit. */
            429: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "Retry-After": components["headers"]["Retry-After"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/quota-exceeded",
                     *       "title": "Request cannot be satisfied as assigned quota has been exceeded",
                     *       "status": 429,
                     *       "detail": "This client has used its 100 requests per 3600 s; try again in 36 s.",
                     *       "request_id": "deploy-7",
                     *       "violated-policies": [
                     *         "default"
                     *       ]
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service can't take the request now. */
            503: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "Retry-After": components["headers"]["Retry-After"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/unavailable",
                     *       "title": "The service can't take the request now",
                     *       "status": 503,
                     *       "detail": "There are too many connections; try again.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    revoke: {
        parameters: {
            query?: never;
            header?: {
                /** @description The end user on whose behalf a service token of scope `behalf` sends the request, such as `tg-4711`: it is charged to the token's limit and to this subject's, or to neither. */
                "Arsenal-Subject"?: components["parameters"]["Arsenal-Subject"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["RevocationRequest"];
            };
        };
        responses: {
            /** @description What was revoked; it is in force. */
            200: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Revocation"];
                };
            };
            /** @description The request is malformed, or members of it are. */
            400: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/invalid-request",
                     *       "title": "Parameters or members of the request are invalid",
                     *       "status": 400,
                     *       "detail": "The request has 1 fault; nothing was done.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service token is bad, or one is needed and none came. */
            401: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "WWW-Authenticate": components["headers"]["WWW-Authenticate"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/invalid-token",
                     *       "title": "The service token is refused",
                     *       "status": 401,
                     *       "detail": "The token has expired.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service token lacks the scope, or the identity's token is none of its own. */
            403: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "WWW-Authenticate": components["headers"]["WWW-Authenticate"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/insufficient-scope",
                     *       "title": "The service token does not allow this",
                     *       "status": 403,
                     *       "detail": "The audit needs the scope audit.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There is no record of the identity. */
            404: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/not-found",
                     *       "title": "There is nothing at this path",
                     *       "status": 404,
                     *       "detail": "There is no record of the identity.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The path does not answer to this method. */
            405: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    Allow: components["headers"]["Allow"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/method-not-allowed",
                     *       "title": "The path does not answer to this method",
                     *       "status": 405,
                     *       "detail": "This path answers to GET, HEAD, OPTIONS only.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is over 1 MiB. */
            413: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/content-too-large",
                     *       "title": "The body is too large",
                     *       "status": 413,
                     *       "detail": "The body is longer than 1048576 bytes.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is not JSON by its `Content-Type`, or is compressed. */
            415: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    Accept: components["headers"]["Accept"];
                    "Accept-Encoding": components["headers"]["Accept-Encoding"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/unsupported-media-type",
                     *       "title": "The body's media type or coding is not supported",
                     *       "status": 415,
                     *       "detail": "The body must be application/json.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The caller has used up its rate limit. */
            429: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "Retry-After": components["headers"]["Retry-After"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/quota-exceeded",
                     *       "title": "Request cannot be satisfied as assigned quota has been exceeded",
                     *       "status": 429,
                     *       "detail": "This client has used its 100 requests per 3600 s; try again in 36 s.",
                     *       "request_id": "deploy-7",
                     *       "violated-policies": [
                     *         "default"
                     *       ]
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The shared state is away, so nothing was revoked; or the service is too busy. */
            503: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "Retry-After": components["headers"]["Retry-After"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/unavailable",
                     *       "title": "The service can't take the request now",
                     *       "status": 503,
                     *       "detail": "There are too many connections; try again.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    exchange_token: {
        parameters: {
            query?: never;
            header?: {
                /** @description The end user on whose behalf a service token of scope `behalf` sends the request, such as `tg-4711`: it is charged to the token's limit and to this subject's, or to neither. */
                "Arsenal-Subject"?: components["parameters"]["Arsenal-Subject"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/x-www-form-urlencoded": components["schemas"]["TokenRequest"];
            };
        };
        responses: {
            /** @description The service token. */
            200: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["TokenAnswer"];
                };
            };
            /** @description The request or the ID token is refused. */
            400: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["TokenError"];
                    /**
                     * @example {
                     *       "type": "/problems/invalid-request",
                     *       "title": "Parameters or members of the request are invalid",
                     *       "status": 400,
                     *       "detail": "The request has 1 fault; nothing was done.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service token is bad, or one is needed and none came. */
            401: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "WWW-Authenticate": components["headers"]["WWW-Authenticate"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/invalid-token",
                     *       "title": "The service token is refused",
                     *       "status": 401,
                     *       "detail": "The token has expired.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service token lacks the scope. */
            403: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "WWW-Authenticate": components["headers"]["WWW-Authenticate"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/insufficient-scope",
                     *       "title": "The service token does not allow this",
                     *       "status": 403,
                     *       "detail": "The audit needs the scope audit.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The path does not answer to this method. */
            405: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    Allow: components["headers"]["Allow"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/method-not-allowed",
                     *       "title": "The path does not answer to this method",
                     *       "status": 405,
                     *       "detail": "This path answers to GET, HEAD, OPTIONS only.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is over 1 MiB. */
            413: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/content-too-large",
                     *       "title": "The body is too large",
                     *       "status": 413,
                     *       "detail": "The body is longer than 1048576 bytes.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is not JSON by its `Content-Type`, or is compressed. */
            415: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    Accept: components["headers"]["Accept"];
                    "Accept-Encoding": components["headers"]["Accept-Encoding"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/unsupported-media-type",
                     *       "title": "The body's media type or coding is not supported",
                     *       "status": 415,
                     *       "detail": "The body must be application/json.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The caller has used up its rate limit. */
            429: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "Retry-After": components["headers"]["Retry-After"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/quota-exceeded",
                     *       "title": "Request cannot be satisfied as assigned quota has been exceeded",
                     *       "status": 429,
                     *       "detail": "This client has used its 100 requests per 3600 s; try again in 36 s.",
                     *       "request_id": "deploy-7",
                     *       "violated-policies": [
                     *         "default"
                     *       ]
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The keys of the issuer can't be fetched now. */
            503: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "Retry-After": components["headers"]["Retry-After"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["TokenError"];
                    /**
                     * @example {
                     *       "type": "/problems/unavailable",
                     *       "title": "The service can't take the request now",
                     *       "status": 503,
                     *       "detail": "There are too many connections; try again.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    audit: {
        parameters: {
            query?: {
                /**
                 * @description Up to the first `-`.
                 * @example player
                 */
                prefix?: string;
                /**
                 * @description After the first `-`, named or drawn.
                 * @example 123456
                 */
                run?: string;
                /**
                 * @description Events of this moment and later. RFC 3339, with `Z` or an offset; milliseconds count.
                 * @example 2026-11-22T10:00:00.000Z
                 */
                since?: string;
                /**
                 * @description Events before this moment. RFC 3339, with `Z` or an offset; milliseconds count.
                 * @example 2026-11-22T11:00:00.000Z
                 */
                until?: string;
                /**
                 * @description Rows of a page, at most.
                 * @example 100
                 */
                limit?: number;
                /**
                 * @description The `cursor` of the page before: the next page begins there.
                 * @example 1795341600000-4711
                 */
                cursor?: string;
            };
            header?: {
                /** @description The end user on whose behalf a service token of scope `behalf` sends the request, such as `tg-4711`: it is charged to the token's limit and to this subject's, or to neither. */
                "Arsenal-Subject"?: components["parameters"]["Arsenal-Subject"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description One page of events. */
            200: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Audit"];
                };
            };
            /** @description The request is malformed, or members of it are. */
            400: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/invalid-request",
                     *       "title": "Parameters or members of the request are invalid",
                     *       "status": 400,
                     *       "detail": "The request has 1 fault; nothing was done.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service token is bad, or one is needed and none came. */
            401: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "WWW-Authenticate": components["headers"]["WWW-Authenticate"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/invalid-token",
                     *       "title": "The service token is refused",
                     *       "status": 401,
                     *       "detail": "The token has expired.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service token lacks the scope. */
            403: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "WWW-Authenticate": components["headers"]["WWW-Authenticate"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/insufficient-scope",
                     *       "title": "The service token does not allow this",
                     *       "status": 403,
                     *       "detail": "The audit needs the scope audit.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The path does not answer to this method. */
            405: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    Allow: components["headers"]["Allow"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/method-not-allowed",
                     *       "title": "The path does not answer to this method",
                     *       "status": 405,
                     *       "detail": "This path answers to GET, HEAD, OPTIONS only.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The caller has used up its rate limit. */
            429: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "Retry-After": components["headers"]["Retry-After"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/quota-exceeded",
                     *       "title": "Request cannot be satisfied as assigned quota has been exceeded",
                     *       "status": 429,
                     *       "detail": "This client has used its 100 requests per 3600 s; try again in 36 s.",
                     *       "request_id": "deploy-7",
                     *       "violated-policies": [
                     *         "default"
                     *       ]
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The ledger can't be read now, or there is none; or the service is too busy. */
            503: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "Retry-After": components["headers"]["Retry-After"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/unavailable",
                     *       "title": "The service can't take the request now",
                     *       "status": 503,
                     *       "detail": "There are too many connections; try again.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    list_tokens: {
        parameters: {
            query?: {
                /**
                 * @description Tokens of this subject only.
                 * @example sports-book
                 */
                subject?: string;
                /**
                 * @description Rows of a page, at most.
                 * @example 100
                 */
                limit?: number;
                /**
                 * @description The `cursor` of the page before: the next page begins there.
                 * @example 1795341600000-5b1f0c9d2e7a48b63c11
                 */
                cursor?: string;
            };
            header?: {
                /** @description The end user on whose behalf a service token of scope `behalf` sends the request, such as `tg-4711`: it is charged to the token's limit and to this subject's, or to neither. */
                "Arsenal-Subject"?: components["parameters"]["Arsenal-Subject"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description One page of tokens. */
            200: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["TokenPage"];
                };
            };
            /** @description The request is malformed, or members of it are. */
            400: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/invalid-request",
                     *       "title": "Parameters or members of the request are invalid",
                     *       "status": 400,
                     *       "detail": "The request has 1 fault; nothing was done.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service token is bad, or one is needed and none came. */
            401: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "WWW-Authenticate": components["headers"]["WWW-Authenticate"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/invalid-token",
                     *       "title": "The service token is refused",
                     *       "status": 401,
                     *       "detail": "The token has expired.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service token lacks the scope. */
            403: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "WWW-Authenticate": components["headers"]["WWW-Authenticate"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/insufficient-scope",
                     *       "title": "The service token does not allow this",
                     *       "status": 403,
                     *       "detail": "The audit needs the scope audit.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The path does not answer to this method. */
            405: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    Allow: components["headers"]["Allow"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/method-not-allowed",
                     *       "title": "The path does not answer to this method",
                     *       "status": 405,
                     *       "detail": "This path answers to GET, HEAD, OPTIONS only.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The caller has used up its rate limit. */
            429: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "Retry-After": components["headers"]["Retry-After"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/quota-exceeded",
                     *       "title": "Request cannot be satisfied as assigned quota has been exceeded",
                     *       "status": 429,
                     *       "detail": "This client has used its 100 requests per 3600 s; try again in 36 s.",
                     *       "request_id": "deploy-7",
                     *       "violated-policies": [
                     *         "default"
                     *       ]
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The ledger can't be read now, or there is none; or the service is too busy. */
            503: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "Retry-After": components["headers"]["Retry-After"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/unavailable",
                     *       "title": "The service can't take the request now",
                     *       "status": 503,
                     *       "detail": "There are too many connections; try again.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    mint_token: {
        parameters: {
            query?: never;
            header?: {
                /** @description The end user on whose behalf a service token of scope `behalf` sends the request, such as `tg-4711`: it is charged to the token's limit and to this subject's, or to neither. */
                "Arsenal-Subject"?: components["parameters"]["Arsenal-Subject"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["TokenOrder"];
            };
        };
        responses: {
            /** @description The token. */
            201: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["MintedToken"];
                };
            };
            /** @description The request is malformed, or members of it are. */
            400: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/invalid-request",
                     *       "title": "Parameters or members of the request are invalid",
                     *       "status": 400,
                     *       "detail": "The request has 1 fault; nothing was done.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service token is bad, or one is needed and none came. */
            401: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "WWW-Authenticate": components["headers"]["WWW-Authenticate"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/invalid-token",
                     *       "title": "The service token is refused",
                     *       "status": 401,
                     *       "detail": "The token has expired.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service token lacks the scope, or one that it was to hand on. */
            403: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "WWW-Authenticate": components["headers"]["WWW-Authenticate"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/insufficient-scope",
                     *       "title": "The service token does not allow this",
                     *       "status": 403,
                     *       "detail": "The audit needs the scope audit.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The path does not answer to this method. */
            405: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    Allow: components["headers"]["Allow"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/method-not-allowed",
                     *       "title": "The path does not answer to this method",
                     *       "status": 405,
                     *       "detail": "This path answers to GET, HEAD, OPTIONS only.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is over 1 MiB. */
            413: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/content-too-large",
                     *       "title": "The body is too large",
                     *       "status": 413,
                     *       "detail": "The body is longer than 1048576 bytes.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is not JSON by its `Content-Type`, or is compressed. */
            415: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    Accept: components["headers"]["Accept"];
                    "Accept-Encoding": components["headers"]["Accept-Encoding"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/unsupported-media-type",
                     *       "title": "The body's media type or coding is not supported",
                     *       "status": 415,
                     *       "detail": "The body must be application/json.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The caller has used up its rate limit. */
            429: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "Retry-After": components["headers"]["Retry-After"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/quota-exceeded",
                     *       "title": "Request cannot be satisfied as assigned quota has been exceeded",
                     *       "status": 429,
                     *       "detail": "This client has used its 100 requests per 3600 s; try again in 36 s.",
                     *       "request_id": "deploy-7",
                     *       "violated-policies": [
                     *         "default"
                     *       ]
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service can't take the request now. */
            503: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "Retry-After": components["headers"]["Retry-After"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/unavailable",
                     *       "title": "The service can't take the request now",
                     *       "status": 503,
                     *       "detail": "There are too many connections; try again.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    revoke_token: {
        parameters: {
            query?: never;
            header?: {
                /** @description The end user on whose behalf a service token of scope `behalf` sends the request, such as `tg-4711`: it is charged to the token's limit and to this subject's, or to neither. */
                "Arsenal-Subject"?: components["parameters"]["Arsenal-Subject"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["TokenRevocation"];
            };
        };
        responses: {
            /** @description It is withdrawn. */
            200: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["TokenChange"];
                };
            };
            /** @description The request is malformed, or members of it are. */
            400: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/invalid-request",
                     *       "title": "Parameters or members of the request are invalid",
                     *       "status": 400,
                     *       "detail": "The request has 1 fault; nothing was done.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service token is bad, or one is needed and none came. */
            401: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "WWW-Authenticate": components["headers"]["WWW-Authenticate"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/invalid-token",
                     *       "title": "The service token is refused",
                     *       "status": 401,
                     *       "detail": "The token has expired.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service token lacks the scope. */
            403: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "WWW-Authenticate": components["headers"]["WWW-Authenticate"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/insufficient-scope",
                     *       "title": "The service token does not allow this",
                     *       "status": 403,
                     *       "detail": "The audit needs the scope audit.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The path does not answer to this method. */
            405: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    Allow: components["headers"]["Allow"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/method-not-allowed",
                     *       "title": "The path does not answer to this method",
                     *       "status": 405,
                     *       "detail": "This path answers to GET, HEAD, OPTIONS only.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is over 1 MiB. */
            413: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/content-too-large",
                     *       "title": "The body is too large",
                     *       "status": 413,
                     *       "detail": "The body is longer than 1048576 bytes.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is not JSON by its `Content-Type`, or is compressed. */
            415: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    Accept: components["headers"]["Accept"];
                    "Accept-Encoding": components["headers"]["Accept-Encoding"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/unsupported-media-type",
                     *       "title": "The body's media type or coding is not supported",
                     *       "status": 415,
                     *       "detail": "The body must be application/json.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The caller has used up its rate limit. */
            429: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "Retry-After": components["headers"]["Retry-After"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/quota-exceeded",
                     *       "title": "Request cannot be satisfied as assigned quota has been exceeded",
                     *       "status": 429,
                     *       "detail": "This client has used its 100 requests per 3600 s; try again in 36 s.",
                     *       "request_id": "deploy-7",
                     *       "violated-policies": [
                     *         "default"
                     *       ]
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Neither shared state nor ledger can be written; or the service is too busy. */
            503: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "Retry-After": components["headers"]["Retry-After"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/unavailable",
                     *       "title": "The service can't take the request now",
                     *       "status": 503,
                     *       "detail": "There are too many connections; try again.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    limit_token: {
        parameters: {
            query?: never;
            header?: {
                /** @description The end user on whose behalf a service token of scope `behalf` sends the request, such as `tg-4711`: it is charged to the token's limit and to this subject's, or to neither. */
                "Arsenal-Subject"?: components["parameters"]["Arsenal-Subject"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["TokenLimit"];
            };
        };
        responses: {
            /** @description It has this limit. */
            200: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["TokenChange"];
                };
            };
            /** @description The request is malformed, or members of it are. */
            400: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/invalid-request",
                     *       "title": "Parameters or members of the request are invalid",
                     *       "status": 400,
                     *       "detail": "The request has 1 fault; nothing was done.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service token is bad, or one is needed and none came. */
            401: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "WWW-Authenticate": components["headers"]["WWW-Authenticate"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/invalid-token",
                     *       "title": "The service token is refused",
                     *       "status": 401,
                     *       "detail": "The token has expired.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service token lacks the scope. */
            403: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "WWW-Authenticate": components["headers"]["WWW-Authenticate"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/insufficient-scope",
                     *       "title": "The service token does not allow this",
                     *       "status": 403,
                     *       "detail": "The audit needs the scope audit.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The path does not answer to this method. */
            405: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    Allow: components["headers"]["Allow"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/method-not-allowed",
                     *       "title": "The path does not answer to this method",
                     *       "status": 405,
                     *       "detail": "This path answers to GET, HEAD, OPTIONS only.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The token has been withdrawn. */
            409: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/token-amended",
                     *       "title": "The service token was withdrawn or changed meanwhile",
                     *       "status": 409,
                     *       "detail": "The token has been withdrawn.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is over 1 MiB. */
            413: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/content-too-large",
                     *       "title": "The body is too large",
                     *       "status": 413,
                     *       "detail": "The body is longer than 1048576 bytes.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The body is not JSON by its `Content-Type`, or is compressed. */
            415: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    Accept: components["headers"]["Accept"];
                    "Accept-Encoding": components["headers"]["Accept-Encoding"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/unsupported-media-type",
                     *       "title": "The body's media type or coding is not supported",
                     *       "status": 415,
                     *       "detail": "The body must be application/json.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The caller has used up its rate limit. */
            429: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "Retry-After": components["headers"]["Retry-After"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/quota-exceeded",
                     *       "title": "Request cannot be satisfied as assigned quota has been exceeded",
                     *       "status": 429,
                     *       "detail": "This client has used its 100 requests per 3600 s; try again in 36 s.",
                     *       "request_id": "deploy-7",
                     *       "violated-policies": [
                     *         "default"
                     *       ]
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Neither shared state nor ledger can be written; or the service is too busy. */
            503: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "Retry-After": components["headers"]["Retry-After"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/unavailable",
                     *       "title": "The service can't take the request now",
                     *       "status": 503,
                     *       "detail": "There are too many connections; try again.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    limits: {
        parameters: {
            query?: never;
            header?: {
                /** @description The end user on whose behalf a service token of scope `behalf` sends the request, such as `tg-4711`: it is charged to the token's limit and to this subject's, or to neither. */
                "Arsenal-Subject"?: components["parameters"]["Arsenal-Subject"];
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The policy, what remains, and when it is whole again. */
            200: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Limits"];
                };
            };
            /** @description The request is malformed, or members of it are. */
            400: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/invalid-request",
                     *       "title": "Parameters or members of the request are invalid",
                     *       "status": 400,
                     *       "detail": "The request has 1 fault; nothing was done.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service token is bad, or one is needed and none came. */
            401: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "WWW-Authenticate": components["headers"]["WWW-Authenticate"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/invalid-token",
                     *       "title": "The service token is refused",
                     *       "status": 401,
                     *       "detail": "The token has expired.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service token lacks the scope. */
            403: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "WWW-Authenticate": components["headers"]["WWW-Authenticate"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/insufficient-scope",
                     *       "title": "The service token does not allow this",
                     *       "status": 403,
                     *       "detail": "The audit needs the scope audit.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The path does not answer to this method. */
            405: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    Allow: components["headers"]["Allow"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/method-not-allowed",
                     *       "title": "The path does not answer to this method",
                     *       "status": 405,
                     *       "detail": "This path answers to GET, HEAD, OPTIONS only.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service can't take the request now. */
            503: {
                headers: {
                    "X-RateLimit-Limit": components["headers"]["X-RateLimit-Limit"];
                    "X-RateLimit-Remaining": components["headers"]["X-RateLimit-Remaining"];
                    "X-RateLimit-Reset": components["headers"]["X-RateLimit-Reset"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    "Retry-After": components["headers"]["Retry-After"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/unavailable",
                     *       "title": "The service can't take the request now",
                     *       "status": 503,
                     *       "detail": "There are too many connections; try again.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    health: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Serving; perhaps degraded. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Health"];
                    "text/html": string;
                };
            };
            /** @description The request is malformed, or members of it are. */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/invalid-request",
                     *       "title": "Parameters or members of the request are invalid",
                     *       "status": 400,
                     *       "detail": "The request has 1 fault; nothing was done.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The path does not answer to this method. */
            405: {
                headers: {
                    Allow: components["headers"]["Allow"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/method-not-allowed",
                     *       "title": "The path does not answer to this method",
                     *       "status": 405,
                     *       "detail": "This path answers to GET, HEAD, OPTIONS only.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Starting or draining. */
            503: {
                headers: {
                    "Retry-After": components["headers"]["Retry-After"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Health"];
                    "text/html": string;
                    /**
                     * @example {
                     *       "type": "/problems/unavailable",
                     *       "title": "The service can't take the request now",
                     *       "status": 503,
                     *       "detail": "There are too many connections; try again.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    live: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Alive. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Probe"];
                };
            };
            /** @description The request is malformed, or members of it are. */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/invalid-request",
                     *       "title": "Parameters or members of the request are invalid",
                     *       "status": 400,
                     *       "detail": "The request has 1 fault; nothing was done.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The path does not answer to this method. */
            405: {
                headers: {
                    Allow: components["headers"]["Allow"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/method-not-allowed",
                     *       "title": "The path does not answer to this method",
                     *       "status": 405,
                     *       "detail": "This path answers to GET, HEAD, OPTIONS only.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service can't take the request now. */
            503: {
                headers: {
                    "Retry-After": components["headers"]["Retry-After"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/unavailable",
                     *       "title": "The service can't take the request now",
                     *       "status": 503,
                     *       "detail": "There are too many connections; try again.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    ready: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Ready. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Probe"];
                };
            };
            /** @description The request is malformed, or members of it are. */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/invalid-request",
                     *       "title": "Parameters or members of the request are invalid",
                     *       "status": 400,
                     *       "detail": "The request has 1 fault; nothing was done.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The path does not answer to this method. */
            405: {
                headers: {
                    Allow: components["headers"]["Allow"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/method-not-allowed",
                     *       "title": "The path does not answer to this method",
                     *       "status": 405,
                     *       "detail": "This path answers to GET, HEAD, OPTIONS only.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Starting or draining. */
            503: {
                headers: {
                    "Retry-After": components["headers"]["Retry-After"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Probe"];
                    /**
                     * @example {
                     *       "type": "/problems/unavailable",
                     *       "title": "The service can't take the request now",
                     *       "status": 503,
                     *       "detail": "There are too many connections; try again.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    startup: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Started. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Probe"];
                };
            };
            /** @description The request is malformed, or members of it are. */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/invalid-request",
                     *       "title": "Parameters or members of the request are invalid",
                     *       "status": 400,
                     *       "detail": "The request has 1 fault; nothing was done.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The path does not answer to this method. */
            405: {
                headers: {
                    Allow: components["headers"]["Allow"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/method-not-allowed",
                     *       "title": "The path does not answer to this method",
                     *       "status": 405,
                     *       "detail": "This path answers to GET, HEAD, OPTIONS only.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Starting. */
            503: {
                headers: {
                    "Retry-After": components["headers"]["Retry-After"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Probe"];
                    /**
                     * @example {
                     *       "type": "/problems/unavailable",
                     *       "title": "The service can't take the request now",
                     *       "status": 503,
                     *       "detail": "There are too many connections; try again.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    metrics: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The metrics. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    "text/plain": string;
                    "application/openmetrics-text": string;
                };
            };
            /** @description The request is malformed, or members of it are. */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/invalid-request",
                     *       "title": "Parameters or members of the request are invalid",
                     *       "status": 400,
                     *       "detail": "The request has 1 fault; nothing was done.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service token lacks the scope. */
            403: {
                headers: {
                    "WWW-Authenticate": components["headers"]["WWW-Authenticate"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/insufficient-scope",
                     *       "title": "The service token does not allow this",
                     *       "status": 403,
                     *       "detail": "The audit needs the scope audit.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The path does not answer to this method. */
            405: {
                headers: {
                    Allow: components["headers"]["Allow"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/method-not-allowed",
                     *       "title": "The path does not answer to this method",
                     *       "status": 405,
                     *       "detail": "This path answers to GET, HEAD, OPTIONS only.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service can't take the request now. */
            503: {
                headers: {
                    "Retry-After": components["headers"]["Retry-After"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/unavailable",
                     *       "title": "The service can't take the request now",
                     *       "status": 503,
                     *       "detail": "There are too many connections; try again.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    telemetry: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The telemetry. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Telemetry"];
                };
            };
            /** @description The request is malformed, or members of it are. */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/invalid-request",
                     *       "title": "Parameters or members of the request are invalid",
                     *       "status": 400,
                     *       "detail": "The request has 1 fault; nothing was done.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service token lacks the scope. */
            403: {
                headers: {
                    "WWW-Authenticate": components["headers"]["WWW-Authenticate"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/insufficient-scope",
                     *       "title": "The service token does not allow this",
                     *       "status": 403,
                     *       "detail": "The audit needs the scope audit.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The path does not answer to this method. */
            405: {
                headers: {
                    Allow: components["headers"]["Allow"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/method-not-allowed",
                     *       "title": "The path does not answer to this method",
                     *       "status": 405,
                     *       "detail": "This path answers to GET, HEAD, OPTIONS only.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service can't take the request now. */
            503: {
                headers: {
                    "Retry-After": components["headers"]["Retry-After"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/unavailable",
                     *       "title": "The service can't take the request now",
                     *       "status": 503,
                     *       "detail": "There are too many connections; try again.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    openapi: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description OpenAPI 3.1. */
            200: {
                headers: {
                    ETag: components["headers"]["ETag"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": Record<string, never>;
                };
            };
            /** @description It has not changed. */
            304: {
                headers: {
                    ETag: components["headers"]["ETag"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The request is malformed, or members of it are. */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/invalid-request",
                     *       "title": "Parameters or members of the request are invalid",
                     *       "status": 400,
                     *       "detail": "The request has 1 fault; nothing was done.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The path does not answer to this method. */
            405: {
                headers: {
                    Allow: components["headers"]["Allow"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/method-not-allowed",
                     *       "title": "The path does not answer to this method",
                     *       "status": 405,
                     *       "detail": "This path answers to GET, HEAD, OPTIONS only.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service can't take the request now. */
            503: {
                headers: {
                    "Retry-After": components["headers"]["Retry-After"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/unavailable",
                     *       "title": "The service can't take the request now",
                     *       "status": 503,
                     *       "detail": "There are too many connections; try again.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    docs: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The page. */
            200: {
                headers: {
                    ETag: components["headers"]["ETag"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    "text/html": string;
                };
            };
            /** @description It has not changed. */
            304: {
                headers: {
                    ETag: components["headers"]["ETag"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The request is malformed, or members of it are. */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/invalid-request",
                     *       "title": "Parameters or members of the request are invalid",
                     *       "status": 400,
                     *       "detail": "The request has 1 fault; nothing was done.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The path does not answer to this method. */
            405: {
                headers: {
                    Allow: components["headers"]["Allow"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/method-not-allowed",
                     *       "title": "The path does not answer to this method",
                     *       "status": 405,
                     *       "detail": "This path answers to GET, HEAD, OPTIONS only.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service can't take the request now. */
            503: {
                headers: {
                    "Retry-After": components["headers"]["Retry-After"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/unavailable",
                     *       "title": "The service can't take the request now",
                     *       "status": 503,
                     *       "detail": "There are too many connections; try again.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    jwks: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The keys. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["KeySet"];
                };
            };
            /** @description The request is malformed, or members of it are. */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/invalid-request",
                     *       "title": "Parameters or members of the request are invalid",
                     *       "status": 400,
                     *       "detail": "The request has 1 fault; nothing was done.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The path does not answer to this method. */
            405: {
                headers: {
                    Allow: components["headers"]["Allow"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/method-not-allowed",
                     *       "title": "The path does not answer to this method",
                     *       "status": 405,
                     *       "detail": "This path answers to GET, HEAD, OPTIONS only.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service can't take the request now. */
            503: {
                headers: {
                    "Retry-After": components["headers"]["Retry-After"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/unavailable",
                     *       "title": "The service can't take the request now",
                     *       "status": 503,
                     *       "detail": "There are too many connections; try again.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    problems: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description All kinds. */
            200: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ProblemKinds"];
                    "text/html": string;
                };
            };
            /** @description The request is malformed, or members of it are. */
            400: {
                headers: {
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/invalid-request",
                     *       "title": "Parameters or members of the request are invalid",
                     *       "status": 400,
                     *       "detail": "The request has 1 fault; nothing was done.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The path does not answer to this method. */
            405: {
                headers: {
                    Allow: components["headers"]["Allow"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/method-not-allowed",
                     *       "title": "The path does not answer to this method",
                     *       "status": 405,
                     *       "detail": "This path answers to GET, HEAD, OPTIONS only.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The service can't take the request now. */
            503: {
                headers: {
                    "Retry-After": components["headers"]["Retry-After"];
                    "X-Request-Id": components["headers"]["X-Request-Id"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "type": "/problems/unavailable",
                     *       "title": "The service can't take the request now",
                     *       "status": 503,
                     *       "detail": "There are too many connections; try again.",
                     *       "request_id": "deploy-7"
                     *     }
                     */
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
}
