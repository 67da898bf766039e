"""The settings of the application; the composition fills them in from the configuration."""

from collections.abc import Sequence
from dataclasses import dataclass

from arsenal_fast import memory_budget
from arsenal_fast.api.admission import OnFailure
from arsenal_fast.memory_budget import Shares
from arsenal_fast.oidc.rules import Rules
from arsenal_fast.ratelimit.policies import Policies
from arsenal_fast.ratelimit.quota import Quota


@dataclass(frozen=True, slots=True)
class Settings:
    """Set at the start; nothing here changes while the service runs: what a file has may be replaced elsewhere."""

    version: str
    """Release, such as ``v4.2.0``."""
    domain: str
    """Domain of identities that are requested without one; lower case."""
    base_url: str
    """Where clients reach the service; HSTS is sent where it is https."""
    quota: Quota | None
    """Requests that one address may make; None: no limit. A limits file stands above it."""
    token_window: int = 3600
    """Seconds of the windows of service tokens where ``quota`` is None."""
    policies: Policies | None = None
    """The limits file; None: there is none."""
    on_store_failure: OnFailure = OnFailure.LOCAL
    origins: Sequence[str] = ()
    """CORS origins, or ``("*",)``."""
    trusted_proxies: Sequence[str] = ()
    """CIDRs whose ``X-Forwarded-For`` is trusted."""
    cache_size: int = 32_768
    """Maximal entries of each of the worker's caches (identities, rendered responses; clients twice)."""
    shares: Shares = memory_budget.DEFAULT
    """The memory shares of the caches."""
    fast_path: bool = True
    """Whether the response cache serves repeated requests without parsing; off in tests only."""
    access_log: str = "errors"
    """``off``, ``errors`` (status 400 and above) or ``all``."""
    traces: bool = False
    """Whether responses have spans: the access log is then called with those of the fast path, too."""
    workers: int = 1
    management: bool = False
    """Whether a listener of its own serves what is not for callers."""
    metrics_by_token: bool = False
    """Whether metrics and telemetry are only for tokens of scope ``metrics``."""
    ignored_parameters: Sequence[str] = ()
    """Names of query parameters that pass unread, or their beginnings and ``*``."""
    oidc_rules: Rules | None = None
    """Which ID tokens are exchanged for service tokens; None: none."""
    protected_prefixes: frozenset[str] = frozenset()
    """Prefixes, in lower case, that need a token of scope ``issue``."""
