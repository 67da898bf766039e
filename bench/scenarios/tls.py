"""TLS 1.3 by the service itself: a request, and a connection with a full and with a resumed handshake.

Requests: the workload cached-direct over 64 kept connections, plain and with TLS by turns, and the same with nginx,
which answers as many bytes from its configuration. Connections: one after the other by a client in Python, each with
one request; CPU time of accepting, handshake, request and closing. Keys of the certificate: P-256. How many
handshakes a second is what one core has time for. nginx: Debian's, one worker, tickets on.
"""

import socket
import ssl
import statistics
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from shutil import which

from bench import BenchError
from bench.load import EXCHANGE_SECONDS, Load, exchange, is_ready, seed
from bench.processes import SERVER_CORE, free_port, started, wait_until
from bench.results import Figure
from bench.rounds import Running, Watch, running_redis, running_server, watched
from bench.rounds import measure as measure_load
from bench.scripts import write_script
from bench.servers import Server, varied
from bench.setting import Findings, Setting, by_turns, costs, crowd, noted, ratio
from bench.workloads import Workload
from tests.support.certificates import Pair, good_pair

HANDSHAKES = 400
PLAIN, TLS, NGINX, NGINX_TLS = "plain", "TLS", "nginx plain", "nginx TLS"
WORKLOAD = Workload.named("cached-direct")
NGINX_CONFIGURATION = """\
daemon off; master_process off; error_log stderr; pid {directory}/nginx.pid; worker_rlimit_nofile 1024;
events {{ worker_connections 1000; }}
http {{
  access_log off; keepalive_requests 100000000; client_body_temp_path {directory}; proxy_temp_path {directory};
  fastcgi_temp_path {directory}; uwsgi_temp_path {directory}; scgi_temp_path {directory};
  server {{
    listen 127.0.0.1:{plain}; listen 127.0.0.1:{tls} ssl; ssl_protocols TLSv1.3;
    ssl_certificate {pair.certificate}; ssl_certificate_key {pair.key};
    return 200 "{body}";
  }}
}}
"""


def measure(setting: Setting) -> Findings:
    pair = good_pair(setting.directory)
    trusting = pair.trusting
    with running_fleet(setting, pair) as fleet:
        script = write_script(WORKLOAD, fleet[0].suffix, setting.directory, 0)

        def load(running: Running) -> tuple[Load, Watch]:
            return measure_load(running, script, setting.length(3, 1), secure=is_secure(running))

        for running in fleet:
            load(running)
        taken = by_turns(fleet, setting.length(3, 1), load)
        figures = [Figure(f"{name}: CPU per request", statistics.median(costs(taken, name)), "us") for name in taken]
        beside = f"nginx {ratio(taken, NGINX_TLS, NGINX):.2f} times" if NGINX in taken else ""
        rates = []
        for running in filter(is_secure, fleet):
            for kind, resumed in (("full", False), ("resumed", True)):
                _, watch = watched(running, partial(connect, running.port, trusting, HANDSHAKES, resumed=resumed))
                us = watch.cpu.microseconds / HANDSHAKES
                rates.append(f"{running.server.name} {kind} {1e6 / us:,.0f}")
                figures.append(Figure(f"{running.server.name}: connection with a {kind} handshake", us, "us"))
    made = f"connections with a handshake a second: {', '.join(rates)}"
    times = Figure("a cached request, times plain", ratio(taken, TLS, PLAIN), "", 1.25)
    return Findings([noted(times, beside, made, crowd(taken)), *figures])


def is_secure(running: Running) -> bool:
    return running.server.name in (TLS, NGINX_TLS)


@contextmanager
def running_fleet(setting: Setting, pair: Pair) -> Iterator[Sequence[Running]]:
    """The service plain and with TLS, over one Redis, and nginx where it is installed, which has a port for each."""
    directory = setting.directory
    with ExitStack() as stack:
        redis_port = stack.enter_context(running_redis(directory))
        plain_server = varied(setting.server, PLAIN)
        plain = stack.enter_context(running_server(plain_server, directory, redis_port=redis_port, redis_db=0))
        plain = replace(plain, suffix=seed(plain.port))
        server, port = varied(setting.server, TLS, **pair.variables), free_port()
        command, environment = server.filled(port=port, scratch=directory / TLS, redis_port=redis_port, redis_db=0)
        log = directory / "tls.log"
        process = stack.enter_context(started(command, environment, SERVER_CORE, log))
        wait_until(partial(answers, port, pair.trusting), process, log)
        fleet = [plain, Running(server, process.pid, port)]
        if which("nginx"):
            ports, log = {"plain": free_port(), "tls": free_port()}, directory / "nginx.log"
            body = "x" * len(exchange(plain.port, WORKLOAD.sample(plain.suffix, 0)).partition(b"\r\n\r\n")[2])
            file = directory / "nginx.conf"
            file.write_text(NGINX_CONFIGURATION.format(directory=directory, pair=pair, body=body, **ports))
            process = stack.enter_context(started(["nginx", "-c", str(file)], {}, SERVER_CORE, log))
            wait_until(partial(is_ready, ports["plain"], "/"), process, log)
            names = {NGINX: ports["plain"], NGINX_TLS: ports["tls"]}
            fleet += [Running(Server(name, ()), process.pid, each) for name, each in names.items()]
        yield fleet


def answers(port: int, trusting: ssl.SSLContext) -> bool:
    try:
        connect(port, trusting, 1, resumed=False)
    except OSError:
        return False
    return True


def connect(port: int, trusting: ssl.SSLContext, count: int, *, resumed: bool) -> None:
    """Make so many connections, each with one request, with a new session or with that of the connection before."""
    request = WORKLOAD.sample("", 0)
    session = None
    for _ in range(count):
        plain = socket.create_connection(("127.0.0.1", port), EXCHANGE_SECONDS)
        with trusting.wrap_socket(plain, server_hostname="localhost", session=session) as connection:
            connection.sendall(request)
            connection.recv(65_536)  # in TLS 1.3 the tickets come before the answer
            if connection.session_reused != (session is not None):
                raise BenchError("A session was not resumed, or was without being asked for.")
            session = connection.session if resumed else None
