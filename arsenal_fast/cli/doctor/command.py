"""The command ``arsenal-fast doctor``.

A line for each finding goes to stdout: its level, the check, what was found, and the mend. Exit status: 0 no check
has failed (with --strict: nor warned), 1 one has, 78 the configuration can't be used (then nothing else is
checked). Nothing here reads the environment: ``load`` is an argument.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from arsenal_fast.cli.arguments import EXIT_CONFIGURATION, EXIT_FAILURE, Commands, add_command, whole
from arsenal_fast.errors import ConfigurationError
from arsenal_fast.observability.logs import masker

if TYPE_CHECKING:
    from arsenal_fast.cli.doctor.finding import Finding
    from arsenal_fast.config.load import Config

TIMEOUT: Final = 3  # seconds
MAX_TIMEOUT: Final = 60

_EPILOG: Final = """\
levels:
  ok    as it should be
  skip  not looked at, and why
  warn  the service runs, and something will hurt, now or at the next fault
  fail  the service would not start, or would be degraded from its first second

exit status: 0 nothing fails (with --strict: nor warns), 1 something does, 78 the configuration can't be used

examples:
  arsenal-fast doctor
  arsenal-fast doctor --json | jq '.checks[] | select(.level != "ok")'
"""


def add_parser(commands: Commands, load: "Callable[[], Config]", now: Callable[[], float]) -> None:
    """Add the command; ``load`` gives the configuration or raises ConfigurationError, ``now`` is the wall clock."""
    parser = add_command(
        commands,
        "doctor",
        partial(run, load=load, now=now),
        "look for what would keep the service from running well here",
        "Look at the configuration, Redis, the ledger, the certificate and the traffic; change nothing.",
        _EPILOG,
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--strict", action="store_true", help="a warning fails, too")
    timeout = f"how long each part may keep us waiting, 1 to {MAX_TIMEOUT} (default {TIMEOUT})"
    parser.add_argument("--timeout", metavar="SECONDS", type=whole(1, MAX_TIMEOUT), default=TIMEOUT, help=timeout)


def run(arguments: argparse.Namespace, *, load: "Callable[[], Config]", now: Callable[[], float]) -> int:
    """Run the checks and print the findings; returns the exit status."""
    from arsenal_fast.cli.doctor import configuration, examination
    from arsenal_fast.cli.doctor.finding import Level, worst

    show = show_json if arguments.json else show_text
    try:
        config = load()
    except ConfigurationError as error:
        show(list(configuration.faults(error.faults)), ())
        return EXIT_CONFIGURATION
    findings = list(examination.examine(config, now, arguments.timeout))
    show(findings, config.secrets())
    level = worst(findings)
    return EXIT_FAILURE if level is Level.FAIL or (arguments.strict and level is Level.WARN) else 0


def show_text(findings: "Sequence[Finding]", secrets: Sequence[str]) -> None:
    """Print a line for each finding."""
    mask = masker(secrets)  # an error text of a library may contain a secret
    width = max(len(finding.check) for finding in findings)
    for finding in findings:
        mend = f" -> {finding.mend}" if finding.mend else ""
        line = f"{finding.level.value:<4}  {finding.check:<{width}}  {finding.text}{mend}"
        print(mask(" ".join(line.splitlines())))


def show_json(findings: "Sequence[Finding]", secrets: Sequence[str]) -> None:
    """Print ``{"status": the worst level, "checks": [{"check", "level", "text", "mend"}]}``."""
    from arsenal_fast.cli.doctor.finding import worst

    mask = masker(secrets)
    checks = [
        {"check": check, "level": level.value, "text": mask(text), "mend": mend or None}
        for check, level, text, mend in findings
    ]
    print(json.dumps({"status": worst(findings).value, "checks": checks}, indent=2))
