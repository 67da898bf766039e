"""The TLS files of a worker: accepted files, and that it never waits for a password prompt."""

from pathlib import Path

import pytest

from arsenal_fast.config.load import load
from arsenal_fast.errors import ConfigurationError
from arsenal_fast.server.tls_context import make_context
from tests.support.certificates import Pair, good_pair

PASSWORD = "correct horse"


def refusal(pair: Pair, **more: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        make_context(load({**pair.variables, **more}))
    (sentence,) = caught.value.faults
    assert PASSWORD not in sentence
    return sentence


def password_file(directory: Path, text: str) -> dict[str, str]:
    file = directory / "password"
    file.write_text(text)
    return {"TLS_KEY_PASSWORD_FILE": str(file)}


def test_a_pair_without_a_password_is_used(tmp_path: Path) -> None:
    assert make_context(load(good_pair(tmp_path).variables)) is not None


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_an_encrypted_key_is_opened_by_the_password_in_its_file(tmp_path: Path, end: str) -> None:
    pair = good_pair(tmp_path, password=PASSWORD)
    assert make_context(load({**pair.variables, **password_file(tmp_path, PASSWORD + end)})) is not None


def test_a_password_that_is_not_needed_is_not_read(tmp_path: Path) -> None:
    assert make_context(load({**good_pair(tmp_path).variables, **password_file(tmp_path, "any")})) is not None


def test_an_encrypted_key_without_a_password_is_refused_with_a_sentence(tmp_path: Path) -> None:
    sentence = refusal(good_pair(tmp_path, password=PASSWORD))
    assert sentence == "TLS_KEY_FILE is encrypted: TLS_KEY_PASSWORD_FILE must name the file that has its password."


@pytest.mark.parametrize("text", ["wrong", "", "x" * 2000, f"{PASSWORD} ", "\n"])
def test_a_password_that_does_not_open_the_key_is_refused_with_a_sentence(tmp_path: Path, text: str) -> None:
    sentence = refusal(good_pair(tmp_path, password=PASSWORD), **password_file(tmp_path, text))
    assert sentence.startswith("TLS_CERT_FILE, TLS_KEY_FILE and TLS_KEY_PASSWORD_FILE can't be used together: ")


def test_a_password_file_that_has_gone_is_refused_with_a_sentence(tmp_path: Path) -> None:
    config = load({**good_pair(tmp_path, password=PASSWORD).variables, **password_file(tmp_path, PASSWORD)})
    (tmp_path / "password").unlink()
    with pytest.raises(ConfigurationError, match="No such file"):
        make_context(config)


def test_a_key_of_another_certificate_is_refused_with_a_sentence(tmp_path: Path) -> None:
    pair, other = good_pair(tmp_path / "a"), good_pair(tmp_path / "b")
    assert "KEY_VALUES_MISMATCH" in refusal(Pair(pair.certificate, other.key))
