"""The pages of the kinds of problems: what the ``type`` of a problem resolves to, for people and for programs."""

from __future__ import annotations

from functools import lru_cache, partial
from html import escape
from typing import Final

import orjson

from arsenal_fast.api.context import RequestContext
from arsenal_fast.api.handlers.pages import HTML, POLICY
from arsenal_fast.api.problems import PATH, PROBLEMS, Kind, described
from arsenal_fast.api.services import Services
from arsenal_fast.http.accept import prefers
from arsenal_fast.http.response import JSON, tail

PATHS: Final = tuple(f"{PATH}/{name}" for name in PROBLEMS)
"""Paths of :func:`problem`, for the table of routes."""

_LINES: Final = POLICY % b"'self'" + b"Vary: Accept\r\nCache-Control: no-cache\r\n"
_PAGE: Final = """\
<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="color-scheme" content="light dark">
  <title>{title}: Arsenal Identity Service</title>
  <link rel="icon" type="image/png" href="{root}api/docs/favicon-32x32.png">
  <link rel="stylesheet" href="{root}api/docs/dashboard.css">
</head>
<body>
  <header><h1>{title}</h1><nav aria-label="Elsewhere"><a href="{root}problems">All problems</a> \
<a href="{root}api/docs">API</a></nav></header>
  <main>
{content}  </main>
</body>
</html>
"""
_KIND: Final = """\
    <dl>
      <dt>Type</dt><dd><code>{type}</code></dd>
      <dt>Status</dt><dd>{status}</dd>
      <dt>What has happened</dt><dd>{meaning}</dd>
      <dt>What to do</dt><dd>{remedy}</dd>
    </dl>
"""


def problems(services: Services, context: RequestContext) -> None:
    """Respond with all kinds of problems."""
    _send(context, _all(services.problem_types))


def problem(services: Services, context: RequestContext) -> None:
    """Respond with the kind of problem of the route's path."""
    assert context.route is not None
    _send(context, _one(services.problem_types, context.route.path.removeprefix(f"{PATH}/")))


def _send(context: RequestContext, page: tuple[bytes, bytes]) -> None:
    html, json = page
    context.respond(200, html if prefers(context.request.fields.accept, "text/html", to="application/json") else json)


# A prefix per process; tests have two.
@lru_cache(maxsize=2)
def _all(types: str) -> tuple[bytes, bytes]:
    rows = (
        f'      <li><a href="problems/{kind.name}">{kind.status} {escape(kind.title)}</a></li>\n'
        for kind in PROBLEMS.values()
    )
    page = _PAGE.format(title="Problems", root="", content=f"    <ul>\n{''.join(rows)}    </ul>\n")
    return _tails(page, {"problems": list(map(partial(described, types=types), PROBLEMS.values()))})


@lru_cache(maxsize=2 * len(PROBLEMS))
def _one(types: str, name: str) -> tuple[bytes, bytes]:
    kind: Kind = PROBLEMS[name]
    content = described(kind, types)
    shown = {member: escape(str(value)) for member, value in content.items()}
    page = _PAGE.format(title=shown["title"], root="../", content=_KIND.format(**shown))
    return _tails(page, content)


def _tails(page: str, content: object) -> tuple[bytes, bytes]:
    return tail(HTML, page.encode(), _LINES), tail(JSON, orjson.dumps(content), _LINES)
