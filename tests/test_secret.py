"""A secret is shown only where it is revealed, and passwords in URLs are masked."""

import json
import pickle

import pytest

from arsenal_fast.observability.logs import masker
from arsenal_fast.secret import Secret, secrets_in, without_passwords

OF_OTHERS = [
    ("redis://user:pw@host:1/0", "redis://user:***@host:1/0"),
    ("amqp://:p:w@host/", "amqp://:***@host/"),
    ("(postgres://u:p@ss@h/d)", "(postgres://u:***@h/d)"),
    ("GET /api/v1/id?prefix=a&password=b%20c&run=d HTTP", "GET /api/v1/id?prefix=a&password=***&run=d HTTP"),
    ("host=h password=x user=u", "host=h password=*** user=u"),
    ("?sslpassword=x&PASSWD=y&pwd=z#f", "?sslpassword=***&PASSWD=***&pwd=***"),
    ('{"url":"/?password=x\\"y"}', '{"url":"/?password=***\\"y"}'),
    ("https://host:80/a@b", "https://host:80/a@b"),
    ("player-1@sports.api.yourbook.com/v1:id", "player-1@sports.api.yourbook.com/v1:id"),
    ("http://[2001:db8::1]:3655/api", "http://[2001:db8::1]:3655/api"),
    ("LEDGER_MAX_ROWS=10 password= x", "LEDGER_MAX_ROWS=10 password= x"),
]


@pytest.mark.parametrize(("text", "shown"), OF_OTHERS)
def test_a_password_that_we_do_not_know_is_masked_where_it_stands_in_a_url(text: str, shown: str) -> None:
    assert without_passwords(text) == shown
    assert masker(())(text) == shown


def test_a_password_is_known_in_every_form_it_may_be_written_in() -> None:
    assert list(secrets_in("redis://u:a%2fb@h/0")) == ["a%2fb", "a/b", "a%2Fb"]
    assert list(secrets_in("postgresql://h/d?x=1&sslpassword=a+b&PASSWORD=c")) == [
        *("a+b", "a+b", "a%2Bb", "c", "c", "c"),
    ]
    assert list(secrets_in("redis://:%ff@h/0")) == ["%ff", "\udcff", "%FF"]
    for url in ("memory://", "none", "sqlite:///a.db", "redis://h:1/0", "postgresql://u@h/d?sslmode=require"):
        assert list(secrets_in(url)) == []


def test_a_secret_is_shown_only_where_it_is_revealed() -> None:
    secret = Secret("hunter22")
    told = [str(secret), repr(secret), f"{secret}", f"{secret!s:>20}", "%s" % secret, str([secret]), str({secret: 1})]  # noqa: UP031
    told.append(json.dumps({"s": secret}, default=str))
    assert not any("hunter22" in text for text in told)
    assert secret.reveal() == "hunter22"
    assert secret == Secret("hunter22")
    assert secret != Secret("hunter23")
    assert secret != "hunter22"


def test_a_secret_is_compared_and_hashed_by_its_value_alone() -> None:
    assert Secret("a", "redis://***@h") == Secret("a")
    assert len({Secret("a", "redis://***@h"), Secret("a"), Secret("b")}) == 2
    assert str(Secret("a", "redis://***@h")) == "redis://***@h"


def test_a_secret_is_not_pickled() -> None:
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(Secret("hunter22"))
