"""Checks a log line against the Elastic Common Schema: names and types of ``tests/fixtures/ecs_8.11.0.csv``."""

import re
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from pathlib import Path

from arsenal_fast.observability.logs import ECS_VERSION

_LINES = (Path(__file__).parents[1] / "fixtures" / f"ecs_{ECS_VERSION}.csv").read_text().splitlines()
TYPES = dict(line.split(",") for line in _LINES if not line.startswith("#"))


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_ip(value: object) -> bool:
    return isinstance(value, str) and bool(ip_address(value))


def _is_date(value: object) -> bool:
    return isinstance(value, str) and bool(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", value))


_JUDGES: dict[str, Callable[[object], bool]] = {
    "keyword": _is_text,
    "wildcard": _is_text,
    "match_only_text": _is_text,
    "ip": _is_ip,
    "date": _is_date,
    "long": lambda value: type(value) is int and -(2**63) <= value < 2**63,
}


def foreign_fields(document: Mapping[str, object]) -> list[str]:
    """The fields that ECS does not have, or has of another type; fields that every line must have are not missing."""
    assert document["ecs.version"] == ECS_VERSION
    assert {"@timestamp", "message"} <= document.keys()
    return [name for name, value in document.items() if name not in TYPES or not _JUDGES[TYPES[name]](value)]
