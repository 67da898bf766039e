"""The command line: ``arsenal-fast serve | check | doctor | health | token | top | ledger | openapi``, the calls of a
running service (``id | validate | revoke | limits``) and ``completion``.

Output goes to stdout, errors to stderr: one sentence a line, no traceback. Exit status:
0 done, 1 could not (the port is taken), 2 wrong usage, 78 wrong configuration (EX_CONFIG), 130 interrupted.
Each command imports what it needs, so that it starts at once.
"""

import argparse
import dataclasses
import errno
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from arsenal_fast import __version__
from arsenal_fast.cli import client as client_commands
from arsenal_fast.cli import completion as completion_command
from arsenal_fast.cli import health as health_command
from arsenal_fast.cli import ledger as ledger_command
from arsenal_fast.cli import token as token_command
from arsenal_fast.cli import top as top_command
from arsenal_fast.cli.arguments import (
    EXIT_CONFIGURATION,
    EXIT_FAILURE,
    EXIT_INTERRUPTED,
    EXIT_USAGE,
    Places,
    add_command,
    add_json,
)
from arsenal_fast.cli.doctor import command as doctor_command
from arsenal_fast.errors import ConfigurationError

if TYPE_CHECKING:
    from arsenal_fast.config.load import Config
    from arsenal_fast.observability.multiprocess import SharedCounters
    from arsenal_fast.secret import Secret
    from arsenal_fast.server.ticket_keys import TicketKeys
    from arsenal_fast.tokens.keys import Keys

_DESCRIPTION: Final = "Arsenal Identity Service: disposable, expiring, checkable identities over HTTP."
_EPILOG: Final = """\
examples:
  arsenal-fast serve                                    on port 3655, state in memory, one process
  arsenal-fast serve --port 8080                        a flag stands above its variable
  REDIS_URL=redis://localhost WORKERS=4 arsenal-fast serve
  NODE_ENV=production arsenal-fast check                what is still missing?
  arsenal-fast doctor                                   would it run well here?
  arsenal-fast openapi > openapi.json
  arsenal-fast id --prefix player                       an identity of the service that runs here

The configuration comes from the environment: `arsenal-fast check` lists the variables with what they are now,
the README with what they mean. Files such as .env.production are not read: Docker Compose (env_file),
Kubernetes (envFrom) or your shell puts them into the environment:
  set -a; . ./.env.production; set +a; arsenal-fast check
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    command: Callable[[argparse.Namespace], int] | None = arguments.command
    if command is None:
        parser.print_help(sys.stderr)
        return EXIT_USAGE
    try:
        status = command(arguments)
        sys.stdout.flush()
        return status
    except ConfigurationError as error:
        print(*error.faults, sep="\n", file=sys.stderr)
        return EXIT_CONFIGURATION
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # arsenal-fast openapi | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILURE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="arsenal-fast",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"arsenal-fast {__version__}")
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    serve = add_command(
        commands,
        "serve",
        _serve,
        "serve until SIGTERM or Ctrl-C",
        "Serve until SIGTERM or Ctrl-C; then answer what was accepted and leave.",
    )
    # The values stay texts, parsed by the same rules as the variables that they replace.
    serve.add_argument("--host", metavar="ADDRESS", help="address to listen on (HOST, default ::)")
    serve.add_argument("--port", metavar="NUMBER", help="port to listen on (PORT, default 3655)")
    serve.add_argument("--workers", metavar="NUMBER", help="processes, or auto (WORKERS, default 1)")
    check = add_command(
        commands,
        "check",
        _check,
        "print the effective configuration, or what is wrong with it",
        "Print the effective configuration, secrets masked; exit 78 if it can't be used.",
    )
    add_json(check)
    doctor_command.add_parser(commands, _configuration, time.time)
    health_command.add_parser(commands, _listening)
    token_command.add_parser(commands, _keys, Places(_database_url, _redis_url), time.time)
    top_command.add_parser(commands, _listening, _keys, time.time)
    ledger_command.add_parser(commands, _database_url, time.time)
    add_command(
        commands,
        "openapi",
        _openapi,
        "print the OpenAPI document of the API",
        "Print the OpenAPI 3.1 document of the API as JSON.",
    )
    client_commands.add_parsers(commands, os.environ)
    completion_command.add_parser(commands, parser)
    return parser


def _serve(arguments: argparse.Namespace) -> int:
    from arsenal_fast.config import load as configuration
    from arsenal_fast.observability import logs

    # Until the worker has set its own: process 1 of a container would ignore a SIGTERM.
    signal.signal(signal.SIGTERM, lambda _number, _frame: os._exit(0))
    given = {name: getattr(arguments, name.lower()) for name in ("HOST", "PORT", "WORKERS")}
    flags = {name: text for name, text in given.items() if text is not None}
    config = configuration.load({**os.environ, **flags})
    logs.setup(logs.formatter(config.log_format, config.secrets()), config.log_level)
    if config.jwt_secret is None:
        # Before the forks, so that all workers sign and verify with the same one.
        config = dataclasses.replace(config, jwt_secret=_drawn_secret(config))
    for warning in config.warnings:
        logging.getLogger(__name__).warning("%s", warning)
    if config.workers == 1:
        from arsenal_fast.observability.multiprocess import SharedCounters
        from arsenal_fast.server.supervisor import SNAPSHOT_SIZE

        return serve_worker(config, 0, SharedCounters(1, SNAPSHOT_SIZE))
    from arsenal_fast.server import (
        supervisor,  # the worker before the forks: its modules are then shared memory
        worker,  # the worker before the forks: its modules are then shared memory
    )
    from arsenal_fast.server.ticket_keys import TicketKeys

    serve = partial(serve_worker, ticket_keys=TicketKeys(time.monotonic))

    def run() -> int:
        return supervisor.run(config, serve, worker.rehearse(config))

    return _with_exit_status(config, run)


def _drawn_secret(config: "Config") -> "Secret":
    """Return the secret for a service without JWT_SECRET, and log where it is kept."""
    from arsenal_fast.cli import kept_secret
    from arsenal_fast.tokens.keys import draw_secret

    log = logging.getLogger(__name__)
    path = kept_secret.path_of(config)
    if path is not None and (secret := kept_secret.read_or_draw(path)) is not None:
        log.warning("JWT_SECRET is not set: tokens are signed with a secret of this machine, which is kept in %s", path)
        return secret
    log.warning(
        "JWT_SECRET is not set: tokens are signed with a secret drawn now, and are worth nothing after a restart"
    )
    return draw_secret()


def serve_worker(
    config: "Config", slot: int, counters: "SharedCounters", ticket_keys: "TicketKeys | None" = None
) -> int:
    """Serve in this process; a fault that an operator can fix becomes one sentence and an exit status."""
    from arsenal_fast.server import worker

    return _with_exit_status(config, lambda: worker.serve(config, slot, counters, ticket_keys))


def _with_exit_status(config: "Config", start: Callable[[], int]) -> int:
    try:
        return start()
    except ConfigurationError as error:  # found only at the start itself: an invalid certificate
        _report(*error.faults)
        return EXIT_CONFIGURATION
    except OSError as error:
        logging.getLogger(__name__).debug("could not serve", exc_info=True)
        _report(_start_failure(config, error))
        return EXIT_FAILURE


def _report(*sentences: str) -> None:
    """Write sentences to stderr, after the log's lines and with a bounded wait."""
    from arsenal_fast.observability.log_writer import STDERR

    for sentence in sentences:
        STDERR.put(sentence)
    STDERR.flush()


def _start_failure(config: "Config", error: OSError) -> str:
    port = error.filename if isinstance(error.filename, int) else config.port
    name = "MANAGEMENT_PORT" if port == config.management_port else "PORT"
    where = f"{config.host} port {port}"
    if error.errno == errno.EADDRINUSE:
        return f"{where} is already in use: stop what listens there, or choose another {name}."
    if error.errno == errno.EACCES:
        return f"Not allowed to listen on {where}: choose a {name} of 1024 or more."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{config.host} is no address of this machine: set HOST to one, or to ::."
    return f"Can't serve on {where}: {error.strerror or error}."


def _check(arguments: argparse.Namespace) -> int:
    from arsenal_fast.config import load as configuration

    config = _configuration()
    table = list(configuration.rows(config))
    if arguments.json:
        variables = {name: {"value": value, "source": source} for name, value, source in table}
        print(json.dumps({"variables": variables, "warnings": config.warnings}))
        return 0
    names = max(len(name) for name, _, _ in table)
    values = max(len(value) for _, value, _ in table)
    for name, value, source in table:
        print(f"{name:<{names}}  {value:<{values}}  {source}".rstrip())
    for warning in config.warnings:
        print(f"warning: {warning}")
    return 0


def _configuration(*names: str) -> "Config":
    """Load the configuration of the environment, or only these variables of it."""
    from arsenal_fast.config import load as configuration

    given = {name: os.environ[name] for name in names if name in os.environ}
    return configuration.load(given if names else os.environ)


def _listening() -> "Config":
    """Return the configuration of where the service listens; loads only its variables."""
    return _configuration("HOST", "PORT", "MANAGEMENT_PORT", "TLS_CERT_FILE", "TLS_KEY_FILE")


def _openapi(_arguments: argparse.Namespace) -> int:
    from arsenal_fast.api.openapi import document

    # The document needs no complete configuration: only its own variable counts.
    print(json.dumps(document(_configuration("API_BASE_URL", "PORT").api_base_url), indent=2))
    return 0


def _database_url() -> str:
    return _configuration("DATABASE_URL").database_url.reveal()


def _redis_url() -> str:
    return _configuration("REDIS_URL").redis_url.reveal()


def _keys() -> "Keys":
    """Return the keys that sign and verify tokens; loads only their variables."""
    from arsenal_fast.cli import kept_secret
    from arsenal_fast.server import parts

    names = (
        *("API_BASE_URL", "PORT", "TLS_CERT_FILE", "TLS_KEY_FILE"),
        *("JWT_SECRET", "JWT_SECRET_PREVIOUS", "JWT_PRIVATE_KEY"),
    )
    config = _configuration(*names)
    if config.jwt_secret is None and (path := kept_secret.path_of(_configuration("DATABASE_URL"))) is not None:
        config = dataclasses.replace(config, jwt_secret=kept_secret.read(path))
    return parts.make_keys(config)
