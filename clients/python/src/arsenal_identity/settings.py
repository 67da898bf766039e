"""The settings of the HTTP client, the same for both clients."""

import re
from typing import Final, TypedDict

import httpx

VERSION: Final = "4.2.0"
_bearer_token = re.compile(r"[A-Za-z0-9._~+/-]+=*").fullmatch  # RFC 6750 section 2.1


class HttpSettings(TypedDict):
    """Arguments of ``httpx.Client`` and ``httpx.AsyncClient``."""

    base_url: str
    headers: dict[str, str]
    timeout: httpx.Timeout


def http_settings(base_url: str, token: str | None, timeout_s: float) -> HttpSettings:
    """Return the settings; ValueError where the URL is none of HTTP or the token is none; never repeats it."""
    if httpx.URL(base_url).scheme not in ("http", "https"):
        raise ValueError("base_url must begin with http:// or https://")
    headers = {"Accept": "application/json, application/problem+json", "User-Agent": f"arsenal-identity/{VERSION}"}
    if token is not None:
        if not _bearer_token(token):
            raise ValueError("token must be one word of A-Z a-z 0-9 . _ ~ + / -: does a line end follow it?")
        headers["Authorization"] = f"Bearer {token}"
    return {"base_url": base_url, "headers": headers, "timeout": httpx.Timeout(timeout_s)}
