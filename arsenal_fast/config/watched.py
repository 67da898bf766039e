"""A file of the configuration that is read again when it changes; a wrong one changes nothing."""

import logging
import os
from collections.abc import Callable
from typing import Generic, TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")


class WatchedFile(Generic[T]):
    """One file, by its path: also one behind symbolic links that are replaced, as those of a ConfigMap are."""

    def __init__(
        self,
        name: str,
        path: str,
        parse: Callable[[str], T],
        use: Callable[[T], None],
        note: Callable[[str, bool], None],
    ) -> None:
        """
        Args:
            name: the variable that names the file.
            parse: reads the file at the path; raises ValueError with the rest of a sentence about the variable.
            use: takes what it has.
            note: takes the name, and whether it was good.
        """
        self._name = name
        self._path = path
        self._parse = parse
        self._use = use
        self._note = note
        self._seen: tuple[int, ...] | None = ()

    def look(self) -> None:
        """Read the file unless it is the one that was read last; the first look reads it."""
        if _identity(self._path) != self._seen:
            self.read()

    def read(self) -> None:
        """Read the file, and use what it has if it is good."""
        self._seen = _identity(self._path)  # before reading: what is written meanwhile is read next time
        try:
            value = self._parse(self._path)
        except ValueError as fault:
            log.error("%s is refused, and what it had before stays in force: %s %s", self._name, self._name, fault)
            self._note(self._name, False)
        else:
            self._use(value)
            self._note(self._name, True)
            log.info("%s is in force: %s", self._name, value)


def _identity(path: str) -> tuple[int, ...] | None:
    """Return what differs between two files, or two contents of one; None where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size
