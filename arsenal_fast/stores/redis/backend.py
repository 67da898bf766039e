"""Redis as the shared store: one connection; with the limiter, the identities and the revocations.

Usable means that Redis has just run our script with a write in it (``opening``), on the database of the URL.
Needs Redis 6 or newer, or Valkey; no cluster redirections are followed (they count as an outage): see cluster.py.
"""

from collections.abc import Callable, Sequence

from arsenal_fast.stores.redis import fetching, identities, info, limiter, revocations
from arsenal_fast.stores.redis.connection import IDLE, Connection
from arsenal_fast.stores.redis.fetching import RedisFetchingLimiter
from arsenal_fast.stores.redis.identities import RedisIdentities
from arsenal_fast.stores.redis.info import InfoPoller
from arsenal_fast.stores.redis.keys import ONE, Keys
from arsenal_fast.stores.redis.resp import pack
from arsenal_fast.stores.redis.revocations import RedisRevocations
from arsenal_fast.stores.redis.url import RedisAddress, parse_url


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
        self.limiter = RedisFetchingLimiter(self)
        self.identities = RedisIdentities(self)
        self.revocations = RedisRevocations(self)
        self.info = InfoPoller(self)

    @property
    def status(self) -> str:
        """One word: healthy or unavailable."""
        return "healthy" if self.healthy else "unavailable"


def opening(address: RedisAddress) -> Sequence[bytes]:
    """Return the commands that a new connection must answer first: password, database, scripts, a real write."""
    return [*greeting(address), probe(ONE)]


def greeting(address: RedisAddress) -> Sequence[bytes]:
    """Return the commands of ``opening`` before the write."""
    commands = []
    if address.password:
        credentials = (address.user, address.password) if address.user else (address.password,)
        commands.append(pack(b"AUTH", *credentials))
    if address.database:
        commands.append(pack(b"SELECT", b"%d" % address.database))
    scripts = (limiter.SCRIPT, fetching.SCRIPT, identities.SCRIPT, *revocations.SCRIPTS, info.SCRIPT)
    return [*commands, *(script.load for script in scripts)]


def probe(keys: Keys) -> bytes:
    """Return the write: a hit of one us on a cell of a second's tolerance always passes, and expires at once."""
    return pack(b"EVALSHA", limiter.SCRIPT.sha, b"2", keys.revision, keys.probe, b"1", b"1000000", b"")
