"""TLS to Redis as the parameters of REDIS_URL say: honoured, or refused with a sentence."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from arsenal_fast.stores.redis.backend import RedisBackend
from arsenal_fast.stores.redis.tls import context_of
from arsenal_fast.stores.redis.url import parse_url
from tests.support.certificates import Pair, good_pair
from tests.support.loops import run, until
from tests.support.redis_server import RedisServer
from tests.support.service import command, free_port


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return good_pair(tmp_path_factory.mktemp("tls"))


def context(query: str) -> ssl.SSLContext:
    made = context_of(parse_url(f"rediss://h?{query}"))
    assert made is not None
    return made


def test_without_tls_there_is_no_context() -> None:
    assert context_of(parse_url("redis://h")) is None


@pytest.mark.parametrize(
    ("query", "mode", "names"),
    [
        ("", ssl.CERT_REQUIRED, True),
        ("ssl_cert_reqs=required", ssl.CERT_REQUIRED, True),
        ("ssl_cert_reqs=optional", ssl.CERT_REQUIRED, True),
        ("ssl_cert_reqs=none", ssl.CERT_NONE, False),
        ("ssl_cert_reqs=none&ssl_check_hostname=true", ssl.CERT_NONE, False),
        ("ssl_check_hostname=false", ssl.CERT_REQUIRED, False),
    ],
)
def test_what_is_verified(query: str, mode: ssl.VerifyMode, names: bool) -> None:
    made = context(query)
    assert (made.verify_mode, made.check_hostname) == (mode, names)
    assert made.minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_private_authority_is_trusted_alone(pair: Pair) -> None:
    assert context(f"ssl_ca_certs={pair.certificate}").cert_store_stats()["x509"] == 1


def test_files_that_are_no_use_are_refused_and_not_named(pair: Pair, tmp_path: Path) -> None:
    locked = good_pair(tmp_path, password="hunter2")
    refused = [
        "ssl_ca_certs=/no/such/hunter2",
        f"ssl_ca_certs={pair.key}",
        "ssl_certfile=/no/such/hunter2",
        f"ssl_certfile={pair.certificate}",
        f"ssl_certfile={pair.certificate}&ssl_keyfile={locked.key}",
        f"ssl_certfile={locked.certificate}&ssl_keyfile={locked.key}",  # and it does not ask on the terminal
        f"ssl_keyfile={pair.key}",
    ]
    for query in refused:
        with pytest.raises(ValueError, match=r"^the Redis URL [^\n]*ssl_(ca_certs|certfile)[^\n]*\.$") as caught:
            context(query)
        assert "hunter2" not in str(caught.value)
        assert str(tmp_path) not in str(caught.value)
    context(f"ssl_certfile={locked.certificate}&ssl_keyfile={locked.key}&ssl_password=hunter2")


def test_a_file_that_went_after_the_start_is_the_reason_and_no_end(pair: Pair, tmp_path: Path) -> None:
    copy = tmp_path / "ca.pem"
    copy.write_bytes(pair.certificate.read_bytes())

    async def main() -> None:
        backend = RedisBackend(f"rediss://127.0.0.1:{free_port()}?ssl_ca_certs={copy}", jitter=lambda: 0.0)
        copy.unlink()
        await backend.start()
        await until(lambda: backend.fault != "")
        assert backend.fault == "the Redis URL names in ssl_ca_certs or ssl_ca_path what holds no certificates"
        await backend.close()

    run(main())


@pytest.fixture(scope="module")
def tls_port(pair: Pair) -> Iterator[int]:
    """A Redis that wants a certificate of its clients."""
    port = free_port()
    files = ("--tls-cert-file", str(pair.certificate), "--tls-key-file", str(pair.key))
    with RedisServer("--tls-port", str(port), "--tls-ca-cert-file", str(pair.certificate), *files):
        yield port


def outcome(url: str) -> str:
    """The fault of a backend, or nothing where it is healthy."""

    async def main() -> str:
        backend = RedisBackend(url, timeout=5, jitter=lambda: 0.0)
        await backend.start()
        await until(lambda: backend.healthy or backend.fault != "")
        fault = backend.fault
        await backend.close()
        return fault

    return run(main())


@pytest.mark.integration
def test_a_client_certificate_and_a_private_authority_are_honoured(pair: Pair, tls_port: int) -> None:
    own = f"ssl_certfile={pair.certificate}&ssl_keyfile={pair.key}"
    trust = f"ssl_ca_certs={pair.certificate}"
    assert outcome(f"rediss://127.0.0.1:{tls_port}?{own}&{trust}") == ""
    assert outcome(f"rediss://127.1:{tls_port}?{own}&{trust}&ssl_check_hostname=false") == ""
    assert outcome(f"rediss://127.0.0.1:{tls_port}?{own}&ssl_cert_reqs=none") == ""
    assert outcome(f"rediss://127.0.0.1:{tls_port}?{own}").startswith("its certificate is not trusted: ")


@pytest.mark.integration
def test_a_client_certificate_that_is_missing_is_the_reason(pair: Pair, tls_port: int) -> None:
    fault = outcome(f"rediss://127.0.0.1:{tls_port}?ssl_ca_certs={pair.certificate}")
    assert fault == "the connection is lost before any answer: it may want another certificate of ours (ssl_certfile)"


@pytest.mark.integration
def test_the_service_does_not_start_with_files_that_are_no_use() -> None:
    url = "rediss://h?ssl_ca_certs=/no/such/file"
    done = command("serve", env={"REDIS_URL": url, "PORT": str(free_port())})
    assert done.returncode == 78
    assert "REDIS_URL is refused: the Redis URL names in ssl_ca_certs" in done.stderr
