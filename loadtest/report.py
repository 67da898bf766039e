"""The report: one HTML file with verdict, pictures and method, without external resources."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from bench.results import machine
from loadtest import pictures
from loadtest.plan import HEADROOM, ROUTES, Plan
from loadtest.run import History
from loadtest.verdict import Measured, Row, as_text, costs, overall

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #111827; }
pre { overflow-x: auto; font-size: .85rem; }
.passed { color: #047857; }
.failed { color: #b91c1c; font-weight: 600; } .load-bound { color: #b45309; font-weight: 600; }
.banner { border-left: .4rem solid; padding: .5rem 1rem; background: #f9fafb; font-size: 1.1rem; }
svg { width: 100%; height: auto; }
"""


def method(plan: Plan) -> str:
    """How it was measured, in one paragraph."""
    parts = [
        f"{plan.users:,} Locust users, paced to offer {HEADROOM - 1:.0%} more than the rates; 4 % of them are browsers "
        "and 2 % users of a bot, whose requests come on top. "
        f"They come within {plan.ramp_seconds:.0f} s; {plan.seconds:g} s count (shaded). ",
        f"The service has its ledger ({'PostgreSQL' if plan.database else 'SQLite'}), limiter, metrics and time-outs "
        "on, and shares core 0 with Redis and the prober; the generators have core 1. ",
        f"The prober asks {plan.probes:g} times a second at fixed moments, and counts from the moment that was due. ",
    ]
    parts.append("Locust's own latency holds the queue of its one thread, and decides nothing.")
    return "".join(parts)


def render(plan: Plan, run: Measured, history: History, rows: Sequence[Row], facts: Mapping[str, str]) -> str:
    """The whole page."""
    outcome = overall(rows)
    told = " · ".join(f"{escape(name)} {escape(value)}" for name, value in facts.items())
    faults = "".join(f"<li>{escape(fault)}</li>" for fault in run.faults)
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Load test: {outcome.word}</title><style>{STYLE}</style>
<h1>The guide's mix from {plan.users:,} users</h1>
<p class="banner {outcome.word}">{outcome.word}</p>
<pre>{escape(as_text(rows, run))}</pre><ul>{faults}</ul>
{pictures.render(plan, run, history)}
<h2>How it was measured</h2><p>{escape(method(plan))}</p>
<p>{told}</p>
<p><a href="locust.html">Locust's own report</a></p>
</html>
"""


def write(plan: Plan, run: Measured, history: History, rows: Sequence[Row]) -> Path:
    """Write ``report.html`` and return its path; ``result.json`` beside it is for other programs."""
    p99_s = run.interval.latencies(ROUTES.values()).quantile(0.99)
    result = {"verdict": overall(rows).word, "cores": run.cores["service"], "p99_ms": p99_s * 1000, "costs": costs(run)}
    (plan.output / "result.json").write_text(json.dumps(result))
    path = plan.output / "report.html"
    path.write_text(render(plan, run, history, rows, machine()))
    return path
