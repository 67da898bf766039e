"""The secret of a service in development: drawn once and kept beside the ledger, so that tokens survive a restart."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from arsenal_fast.ledger.url import SqliteAddress, parse_url
from arsenal_fast.secret import Secret
from arsenal_fast.tokens.keys import draw_secret

if TYPE_CHECKING:
    from arsenal_fast.config.load import Config

_MODE: Final = 0o600


def path_of(config: "Config") -> Path | None:
    """Return the file of the secret; None in production, and where the ledger is no file."""
    if config.production:
        return None
    try:
        address = parse_url(config.database_url.reveal())
    except ValueError:
        return None
    return Path(f"{address.path}.secret") if isinstance(address, SqliteAddress) else None


def read(path: Path) -> Secret | None:
    """Return the kept secret; None where there is none."""
    try:
        text = path.read_text("ascii").strip()
    except (OSError, ValueError):
        return None
    return Secret(text) if text else None


def read_or_draw(path: Path) -> Secret | None:
    """Return the kept secret, or draw one and keep it; None where the file can't be written."""
    drawn = draw_secret()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
    except FileExistsError:
        return read(path)
    except OSError:
        return None
    with open(file, "w", encoding="ascii") as whole:
        whole.write(f"{drawn.reveal()}\n")
    return drawn
