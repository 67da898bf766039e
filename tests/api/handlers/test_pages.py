"""The pages and their assets are served from here, and again only after a change."""

import gzip
import json
import re
from pathlib import Path
from urllib.parse import urljoin

import pytest

from arsenal_fast.api.handlers import pages
from arsenal_fast.api.handlers.pages import ASSETS, admits_gzip, matches
from arsenal_fast.api.telemetry_table import TELEMETRY
from tests.support.rig import Rig, read_answers, request

SVG = "http://www.w3.org/2000/svg"  # the namespace, which nobody fetches
DIRECTORY = Path(pages.__file__).parents[2] / "assets"
HTML = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
PAGES = ["/", "/api/docs", "/api/health"]
TYPES = [
    ("/api/docs/swagger-ui.css", "text/css; charset=utf-8"),
    ("/api/docs/swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
    ("/api/docs/docs.js", "text/javascript; charset=utf-8"),
    ("/api/docs/dashboard.css", "text/css; charset=utf-8"),
    ("/api/docs/favicon-32x32.png", "image/png"),
    ("/favicon.ico", "image/png"),
    ("/api/docs/base.css", "text/css; charset=utf-8"),
    ("/api/docs/home.js", "text/javascript; charset=utf-8"),
    ("/", "text/html; charset=utf-8"),
    ("/api/docs", "text/html; charset=utf-8"),
    ("/api/health", "text/html; charset=utf-8"),
    ("/api/openapi.json", "application/json"),
]


@pytest.mark.parametrize(("path", "media_type"), TYPES)
def test_each_is_sent_with_its_type_and_must_be_asked_for_again(path: str, media_type: str) -> None:
    answer = Rig().get(path, **HTML)
    assert answer.status == 200
    assert answer.headers["content-type"] == media_type
    assert answer.headers["cache-control"] == "no-cache"
    assert re.fullmatch('"[0-9a-f]{32}"', answer.headers["etag"])
    assert len(answer.body) == int(answer.headers["content-length"]) > 0


def test_none_of_it_is_charged() -> None:
    rig = Rig()
    for path in ("/", "/api/docs", "/api/openapi.json", *ASSETS):
        assert "x-ratelimit-limit" not in rig.get(path).headers
    assert rig.get("/api/v1/limits").json["remaining"] == 100


@pytest.mark.parametrize("path", [path for path, media_type in TYPES if media_type != "image/png"])
def test_gzip_is_sent_to_who_admits_it_and_holds_the_same_octets(path: str) -> None:
    rig = Rig()
    plain = rig.get(path, **HTML)
    coded = rig.get(path, Accept_Encoding="gzip, deflate, br", **HTML)
    assert "content-encoding" not in plain.headers
    assert coded.headers["content-encoding"] == "gzip"
    assert gzip.decompress(coded.body) == plain.body
    assert len(coded.body) < len(plain.body)
    assert "Accept-Encoding" in plain.headers["vary"]
    assert plain.headers["vary"] == coded.headers["vary"]
    assert plain.headers["etag"] != coded.headers["etag"], "strong tags of different octets must differ"


def test_what_is_compressed_already_is_sent_as_it_is() -> None:
    answer = Rig().get("/favicon.ico", Accept_Encoding="gzip")
    assert "content-encoding" not in answer.headers
    assert answer.body.startswith(b"\x89PNG")


@pytest.mark.parametrize("coding", ["identity", "gzip"])
@pytest.mark.parametrize("path", [path for path, _ in TYPES])
def test_who_has_the_same_gets_304_without_a_body(path: str, coding: str) -> None:
    client = Rig().connect()
    first = client.get(path, Accept_Encoding=coding, **HTML)
    client.send(request("GET", path, None, Accept_Encoding=coding, If_None_Match=f"W/{first.headers['etag']}", **HTML))
    octets = client.take()
    (again,) = read_answers(octets, ["GET"])
    assert (again.status, again.body) == (304, b"")
    assert octets.endswith(b"\r\n\r\n")
    assert "content-length" not in again.headers
    assert "content-encoding" not in again.headers
    for name in ("etag", "cache-control", "vary", "content-security-policy"):
        assert again.headers.get(name) == first.headers.get(name), name
    assert client.get(path, **HTML).status == 200, "the connection lives on"


def test_who_has_another_coding_gets_the_whole_file() -> None:
    rig = Rig()
    plain = rig.get("/api/docs/docs.js")
    assert rig.get("/api/docs/docs.js", Accept_Encoding="gzip", If_None_Match=plain.headers["etag"]).status == 200


@pytest.mark.parametrize("path", [path for path, _ in TYPES])
def test_head_has_the_head_of_get(path: str) -> None:
    got, head = (Rig(random=bytes).connect().get(path, method, **HTML) for method in ("GET", "HEAD"))
    assert (head.status, head.headers, head.body) == (got.status, got.headers, b"")


def test_the_path_may_be_escaped() -> None:
    assert Rig().get("/api/docs/%64ocs.js").headers["content-type"].startswith("text/javascript")


@pytest.mark.parametrize(
    "path", ["/api/docs/", "/api/docs/none.js", "/api/docs/../docs.js", "/api/docs/%2e%2e/docs.js"]
)
def test_nothing_but_the_table_is_served(path: str) -> None:
    assert Rig().get(path).status == 404


@pytest.mark.parametrize("path", PAGES)
def test_pages_let_nothing_in_from_elsewhere(path: str) -> None:
    answer = Rig().get(path, **HTML)
    policy = dict(directive.strip().split(" ", 1) for directive in answer.headers["content-security-policy"].split(";"))
    assert policy.pop("style-src") == ("'self' 'unsafe-inline'" if path == "/api/docs" else "'self'")
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


@pytest.mark.parametrize("path", PAGES)
def test_pages_refer_to_what_is_there_and_to_no_other_server(path: str) -> None:
    rig = Rig()
    page = rig.get(path, **HTML).body.decode()
    references = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(references) > 3
    for reference in references:
        # Relative, so that the pages work below any path prefix of a gateway.
        assert re.fullmatch(r"[a-z0-9.][a-z0-9./-]+", reference), reference
        assert rig.get(urljoin(path, reference)).status == 200, reference


@pytest.mark.parametrize("path", PAGES)
def test_pages_have_no_inline_script_or_style(path: str) -> None:
    page = Rig().get(path, **HTML).body.decode()
    assert re.findall(r"<script(?![^>]* src=)|<style|\son[a-z]+=|\sstyle=|javascript:", page) == []


@pytest.mark.parametrize("name", [path.name for path in DIRECTORY.iterdir() if path.is_file()])
def test_our_own_files_name_no_other_server(name: str) -> None:
    text = (DIRECTORY / name).read_text("utf-8").replace(SVG, "")
    assert re.findall(r"https?:|[\"'(]//|@import", text) == []


@pytest.mark.parametrize("name", ["home", "dashboard", "docs"])
def test_what_the_script_fills_in_is_in_the_page(name: str) -> None:
    script = (DIRECTORY / f"{name}.js").read_text("utf-8")
    page = (DIRECTORY / f"{name}.html").read_text("utf-8")
    filled = set(re.findall(r'(?:\bput|\$|getElementById)\("([a-z0-9-]+)"', script))
    assert filled
    assert filled <= set(re.findall(r'\bid="([a-z0-9-]+)"', page))


def test_the_dashboard_reads_only_what_health_and_telemetry_have() -> None:
    script = (DIRECTORY / "dashboard.js").read_text("utf-8")
    rig = Rig()
    telemetry = rig.get("/api/telemetry").json
    for name in ("latency", "cache", "limiter", "connections"):
        members = set(re.findall(rf"\b{name}\.([a-z0-9_]+)", script))
        assert members <= telemetry[name].keys(), name
    assert set(re.findall(r"\bhealth\.([a-z]+)\b", script)) - {"value", "reason"} <= (
        rig.get("/api/health").json.keys()
    )
    assert "total" in telemetry["requests"]
    interval = TELEMETRY["properties"]["history"]["items"]["properties"]
    read = set(re.findall(r"\bat\.([a-z0-9_]+)", script)) - {"at"}
    assert {"requests", "refused", "errors", "round_trip_ms", "waiting"} <= read <= interval.keys()
    assert {"waiting", "dropped"} <= telemetry["ledger"].keys()
    assert {"policy", "limit", "window", "allowed", "denied", "fallback"} <= telemetry["limiter"].keys()


def test_a_browser_gets_the_dashboard_and_a_script_the_json_from_one_path() -> None:
    rig = Rig()
    page = rig.get("/api/health", **HTML)
    health = rig.get("/api/health", Accept="*/*")
    assert page.headers["content-type"].startswith("text/html")
    assert health.headers["content-type"] == "application/json"
    assert "Accept" in re.split(", *", page.headers["vary"])
    assert "Accept" in re.split(", *", health.headers["vary"])


def test_the_dashboard_of_a_draining_service_is_a_503_and_never_a_304() -> None:
    rig = Rig()
    tag = rig.get("/api/health", **HTML).headers["etag"]
    rig.service.draining = True
    answer = rig.get("/api/health", If_None_Match=tag, **HTML)
    assert answer.status == 503
    assert b"<!doctype html>" in answer.body


def test_the_document_is_that_of_the_configured_address() -> None:
    rig = Rig({"base_url": "https://identity.api.yourbook.com"})
    document = json.loads(rig.get("/api/openapi.json").body)
    assert document["servers"] == [{"url": "https://identity.api.yourbook.com"}]
    assert document["openapi"] == "3.1.0"


def test_files_are_kept_once_and_no_more_of_them_than_there_are() -> None:
    pages._file.cache_clear()
    rig = Rig()
    for coding in ("identity", "gzip"):
        for path in ("/api/docs", "/favicon.ico", *ASSETS, *ASSETS):
            rig.get(path, Accept_Encoding=coding)
        rig.get("/", Accept_Encoding=coding, **HTML)
        rig.get("/api/health", Accept_Encoding=coding, **HTML)
    kept = pages._file.cache_info()
    assert kept.maxsize is not None
    # Every file and page twice but the picture, which two paths share.
    assert kept.currsize == kept.misses == 2 * (len(ASSETS) + 3) - 1 < kept.maxsize


ACCEPT_ENCODINGS = [
    (b"gzip", True),
    (b"GZIP", True),
    (b"x-gzip", True),
    (b"gzip, deflate, br, zstd", True),
    (b"br;q=1.0, gzip;q=0.8, *;q=0.1", True),
    (b"gzip ; q=0.001", True),
    (b"*", True),
    (b"*;q=0, gzip", True),
    (b"", False),
    (b"identity", False),
    (b"br", False),
    (b"gzip;q=0", False),
    (b"gzip;q=0.000", False),
    (b"gzip;q=0, *", False),
    (b"*;q=0", False),
    (b"gzipped", False),
    (b"gzip;q=", False),
    (b"gzip;q=1;q=1", False),
    (b"g zip", False),
    (b"gzip;level=9", False),
]


@pytest.mark.parametrize(("accept_encoding", "admitted"), ACCEPT_ENCODINGS)
def test_gzip_is_sent_only_where_it_was_asked_for(accept_encoding: bytes, admitted: bool) -> None:
    assert admits_gzip(accept_encoding) is admitted


CONDITIONS = [
    (b'"a"', True),
    (b'W/"a"', True),
    (b'"b", W/"a"', True),
    (b'"b","a"', True),
    (b"*", True),
    (b" * ", True),
    (b'"b"', False),
    (b"a", False),
    (b'"a', False),
    (b'"aa"', False),
    (b'"b,a"', False),
    (b"", False),
    (b'"*"', False),
]


@pytest.mark.parametrize(("condition", "same"), CONDITIONS)
def test_a_condition_names_the_tag_or_it_does_not(condition: bytes, same: bool) -> None:
    assert matches(condition, b'"a"') is same


def test_a_large_answer_is_one_object_for_all_clients_and_is_not_copied() -> None:
    rig = Rig()
    written = []
    for _ in range(2):
        client = rig.connect()
        client.send(request("GET", "/api/docs/swagger-ui-bundle.js"))
        written.append(client.transport.written[-1])
        [answer] = read_answers(client.take(), ["GET"])
        assert int(answer.headers["content-length"]) == len(answer.body) > 1_000_000
    assert written[0] is written[1]


def test_a_large_answer_keeps_its_place_in_the_order() -> None:
    client = Rig().connect()
    paths = ["/api/health/live", "/api/docs/swagger-ui-bundle.js", "/api/health/live", "/api/docs/swagger-ui.css"]
    client.send(b"".join(request("GET", path) for path in paths))
    answers = read_answers(client.take(), ["GET"] * 4)
    assert [len(answer.body) > 100_000 for answer in answers] == [False, True, False, True]


def test_head_of_a_large_answer_has_its_length_and_no_content() -> None:
    answer = Rig().connect().get("/api/docs/swagger-ui-bundle.js", method="HEAD")
    assert int(answer.headers["content-length"]) > 1_000_000
    assert answer.body == b""
