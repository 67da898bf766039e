"""Redis as the shared store: one connection; with the limiter, the identities and the revocations.

Usable means that Redis has just run our script with a write in it (``opening``), on the database of the URL.
Needs Redis 6 or newer, or Valkey; no cluster redirections are followed (they count as an outage).
"""

from collections.abc import Callable, Sequence
from typing import Final

from arsenal_fast.stores.redis import identities, info, limiter, revocations
from arsenal_fast.stores.redis.connection import IDLE, Connection
from arsenal_fast.stores.redis.identities import RedisIdentities
from arsenal_fast.stores.redis.info import InfoPoller
from arsenal_fast.stores.redis.limiter import REVISION_KEY, RedisLimiter
from arsenal_fast.stores.redis.resp import pack
from arsenal_fast.stores.redis.revocations import RedisRevocations
from arsenal_fast.stores.redis.url import RedisAddress, parse_url

PROBE_KEY: Final = b"af:{0}:probe"

# A hit of one us on a cell of a second's tolerance: always passes, so always writes, and expires at once.
_PROBE: Final = pack(b"EVALSHA", limiter.SCRIPT.sha, b"2", REVISION_KEY, PROBE_KEY, b"1", b"1000000", b"")


class RedisBackend(Connection):
    """The Limiter, IdentityStore and Revocations ports over one Redis, and the connection to it.

    ValueError with one sentence for a bad URL. ``timeout``: seconds that a caller waits for a reply.
    ``jitter``: a random number in [0, 1).
    May be made before there is an event loop; ``start`` and everything after belong to one.
    """

    def __init__(
        self,
        url: str,
        *,
        jitter: Callable[[], float],
        timeout: float = 0.25,
        idle: float = IDLE,
    ) -> None:
        address = parse_url(url)
        super().__init__(address, opening(address), timeout=timeout, jitter=jitter, idle=idle)
        self.limiter = RedisLimiter(self)
        self.identities = RedisIdentities(self)
        self.revocations = RedisRevocations(self)
        self.info = InfoPoller(self)

    @property
    def status(self) -> str:
        """One word: healthy or unavailable."""
        return "healthy" if self.healthy else "unavailable"


def opening(address: RedisAddress) -> Sequence[bytes]:
    """Return the commands that a new connection must answer first: password, database, scripts, a real write."""
    commands = []
    if address.password:
        credentials = (address.user, address.password) if address.user else (address.password,)
        commands.append(pack(b"AUTH", *credentials))
    if address.database:
        commands.append(pack(b"SELECT", b"%d" % address.database))
    scripts = (limiter.SCRIPT, identities.SCRIPT, *revocations.SCRIPTS, info.SCRIPT)
    return [*commands, *(script.load for script in scripts), _PROBE]
