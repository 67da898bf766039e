"""The expiry of the certificate in use, in the metrics."""

import json
import signal
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families as read_text

from tests.support.certificates import Pair, make_pair
from tests.support.service import ServiceProcess

pytestmark = pytest.mark.integration

NAME = "identity_tls_certificate_expiry_timestamp_seconds"


def get(service: ServiceProcess, path: str, pair: Pair | None) -> str:
    context = pair.trusting if pair else None
    url = service.url.replace("http:", "https:") if pair else service.url
    with urllib.request.urlopen(url + path, timeout=5, context=context) as answer:
        return str(answer.read(), "utf-8")


def told(service: ServiceProcess, pair: Pair | None = None) -> float | None:
    """Return the metric as of now: sums are kept for a second."""
    asked = datetime.now(UTC)
    while datetime.fromisoformat(json.loads(get(service, "/api/telemetry", pair))["timestamp"]) <= asked:
        pass
    families = {family.name: family for family in read_text(get(service, "/api/metrics", pair))}
    return families[NAME].samples[0].value if NAME in families else None


def test_a_scrape_tells_when_the_certificate_in_use_ends_also_after_its_renewal(tmp_path: Path) -> None:
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
    pair = make_pair(tmp_path, start, start + timedelta(days=10))
    with ServiceProcess(**pair.variables) as service:
        assert told(service, pair) == (start + timedelta(days=10)).timestamp()
        make_pair(tmp_path, start, start + timedelta(days=90))
        service.send_signal(signal.SIGHUP)
        service.wait_for_log("certificate has been read again")
        assert told(service, pair) == (start + timedelta(days=90)).timestamp()
        good = pair.certificate.read_text()
        pair.certificate.write_text("no certificate")
        service.send_signal(signal.SIGHUP)
        service.wait_for_log("old one stays")
        pair.certificate.write_text(good)  # for us, who trust it
        assert told(service, pair) == (start + timedelta(days=90)).timestamp()


def test_without_tls_there_is_no_such_metric() -> None:
    with ServiceProcess() as service:
        assert told(service) is None
