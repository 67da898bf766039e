"""The settings of the HTTP client, the same for both clients."""

from typing import TypedDict

import httpx

VERSION = "4.2.0"


class HttpSettings(TypedDict):
    """Arguments of ``httpx.Client`` and ``httpx.AsyncClient``."""

    base_url: str
    headers: dict[str, str]
    timeout: httpx.Timeout


def http_settings(base_url: str, token: str | None, timeout_s: float) -> HttpSettings:
    """Return the settings; ValueError where the URL is not one of HTTP."""
    if httpx.URL(base_url).scheme not in ("http", "https"):
        raise ValueError("base_url must begin with http:// or https://")
    headers = {"Accept": "application/json, application/problem+json", "User-Agent": f"arsenal-identity/{VERSION}"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    return {"base_url": base_url, "headers": headers, "timeout": httpx.Timeout(timeout_s)}
