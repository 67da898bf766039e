// The web front end: the identity of a player, kept by TanStack Query (version 5).
import { useQuery, type UseQueryResult } from "@tanstack/react-query";
import { fetchIdentity, IdentityServiceError, type Identity } from "../../shared/identity.js";

const RETRIES = 2;

/** `serviceUrl`: where browsers find the service; CORS_ORIGIN there must name this page's origin. */
export function useIdentity(playerId: string, serviceUrl: string): UseQueryResult<Identity, IdentityServiceError> {
  return useQuery<Identity, IdentityServiceError>({
    queryKey: ["identity", playerId],
    queryFn: ({ signal }) => fetchIdentity(serviceUrl, "web", playerId, { signal }),
    // An answer has at least a quarter of its ttl ahead, so with the default of an hour it outlives this.
    staleTime: 5 * 60 * 1000, // 5 minutes
    // What is refused (400, 429) would be refused again; what has failed (5xx, no answer) may go well.
    retry: (failures, error) => failures < RETRIES && (error.status === 0 || error.status >= 500),
  });
}
