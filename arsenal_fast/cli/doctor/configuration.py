"""Checks the configuration: values that are allowed but probably not meant, and publicly known secrets."""

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from arsenal_fast.cli.doctor.finding import Check, Finding
from arsenal_fast.config.load import PLACEHOLDERS, Config, memory_faults
from arsenal_fast.secret import secrets_in
from arsenal_fast.stores.redis.url import parse_url as parse_redis_url

CHECK: Final = Check("configuration")
SECRETS: Final = Check("secrets")

DRAW_ONE: Final = "Take the output of `openssl rand -base64 48`."

# A warning of the configuration begins with the name of a variable.
_MENDS: Final = {
    "TRUSTED_PROXIES": "Name the addresses of your own proxies and no others.",
    "CORS_ORIGIN": "Name the origins of your web front ends, such as https://sports.yourbook.com.",
    "API_BASE_URL": "Set it to the https URL by which clients reach the service.",
    "RATE_LIMIT_REQUESTS": "Set it to what a client may do in a RATE_LIMIT_WINDOW: 100, or more.",
    "JWT_SECRET": DRAW_ONE,
}
_MISSPELT: Final = "Correct its name, or remove it."

_EXAMPLES: Final = frozenset(
    ("password", "passwd", "secret", "example", "redis", "postgres", "postgresql", "admin", "root", "test", "identity")
)
"""Passwords of documentation and of images' defaults."""


def faults(sentences: tuple[str, ...]) -> Iterator[Finding]:
    """Yield a finding for each fault of a configuration that can't be used."""
    for sentence in sentences:
        yield CHECK.fail(sentence, f"Set {sentence.split(' ')[0]} so; `arsenal-fast check` shows them.")


def examine(config: Config) -> Iterator[Finding]:
    """Yield the findings for a configuration that can be used."""
    of_secrets = [each for each in config.warnings if each.startswith("JWT_SECRET")]
    others = [each for each in config.warnings if each not in of_secrets and each not in memory_faults(config)]
    if not others:
        yield CHECK.ok(f"complete, for NODE_ENV={config.node_env}")
    for sentence in others:
        yield CHECK.warn(sentence, _MENDS.get(sentence.split(" ")[0], _MISSPELT))
    weak = [SECRETS.warn(sentence, DRAW_ONE) for sentence in of_secrets]
    weak += _secrets(config)
    yield from weak or [SECRETS.ok("none is absent, short or an example")]


def _secrets(config: Config) -> Iterator[Finding]:
    if config.jwt_secret is None:
        text = "JWT_SECRET is not set: tokens are signed with a secret drawn at each start, and die with it."
        yield SECRETS.warn(text, DRAW_ONE)
    if not config.embedded:
        yield from _redis_password(config)
    url = config.database_url.reveal()
    if any(_is_example(password, urlsplit(url).username or "") for password in secrets_in(url)):
        text = "The password in DATABASE_URL is an example, or the user's name."
        yield SECRETS.warn(text, "Give the user a new one (ALTER ROLE), and put it there.")


def _redis_password(config: Config) -> Iterator[Finding]:
    address = parse_redis_url(config.redis_url.reveal())
    if not address.password:
        if config.production and not (address.path or _is_loopback(address.host)):
            text = "REDIS_URL has no password: whoever reaches Redis can read and issue identities."
            yield SECRETS.warn(text, "Set requirepass in Redis, and write redis://:PASSWORD@host.")
    elif _is_example(address.password.decode("utf-8", "replace"), address.user.decode("utf-8", "replace")):
        mend = "Set a new requirepass in Redis, and put it there, percent-encoded."
        yield SECRETS.warn("The password in REDIS_URL is an example, or the user's name.", mend)
    if address.parameters.get("ssl_cert_reqs") == "none":
        text = "REDIS_URL has ssl_cert_reqs=none: a program between here and Redis can read and change everything."
        yield SECRETS.warn(text, "Let ssl_ca_certs name the authority that signed Redis's certificate.")


def _is_example(password: str, user: str) -> bool:
    folded = password.lower()
    return folded in _EXAMPLES or password == user or any(each in folded for each in PLACEHOLDERS)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
