"""The examples for Filebeat and Logstash: well formed, with options that exist and fields of the service.

Neither program is run: they are in no registry that the tests may use. What stands here of their options is of the
Filebeat and Logstash references, version 8.
"""

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.support.ecs import TYPES

LOGS = Path(__file__).parents[2] / "deploy" / "logs"

yaml: Any = import_module("yaml")

FILEBEAT = pytest.mark.deploy("filebeat.yml is well formed, its fields are ours", tool="PyYAML (Filebeat not run)")
LOGSTASH = pytest.mark.deploy("logstash.conf is well formed, its fields are ours", tool="a parser of ours (not run)")

# Of an object of the configuration: the options that we use, as the reference has them.
OPTIONS = {
    "container": {"stream", "format"},
    "ndjson": {"target", "expand_keys", "overwrite_keys", "add_error_key", "message_key"},
    "add_kubernetes_metadata": {"host", "matchers"},
    "drop_event": {"when"},
}


@pytest.fixture(scope="module")
def filebeat() -> Any:
    return yaml.safe_load((LOGS / "filebeat.yml").read_text())


@FILEBEAT
def test_filebeat_reads_stderr_and_takes_the_lines_as_they_are(filebeat: Any) -> None:
    (source,) = filebeat["filebeat.inputs"]
    assert source.keys() == {"type", "id", "paths", "prospector.scanner.symlinks", "parsers"}
    assert (source["type"], source["id"]) == ("filestream", "arsenal-identity")
    container, ndjson = source["parsers"]
    assert container["container"]["stream"] == "stderr"
    assert ndjson["ndjson"]["target"] == ""
    assert ndjson["ndjson"]["expand_keys"] is True
    assert ndjson["ndjson"]["overwrite_keys"] is True


@FILEBEAT
def test_filebeats_options_exist(filebeat: Any) -> None:
    (source,) = filebeat["filebeat.inputs"]
    for entry in (*source["parsers"], *filebeat["processors"]):
        ((name, options),) = entry.items()
        assert options.keys() <= OPTIONS[name]
    assert filebeat.keys() == {
        *("filebeat.inputs", "processors", "setup.template.enabled", "setup.ilm.enabled", "output.elasticsearch")
    }
    assert filebeat["output.elasticsearch"].keys() == {"hosts", "api_key", "index"}


@FILEBEAT
def test_filebeat_names_fields_that_the_service_writes(filebeat: Any) -> None:
    conditions = filebeat["processors"][1]["drop_event"]["when"]["and"]
    named = [name.removesuffix(".lt") for condition in conditions for values in condition.values() for name in values]
    assert len(named) == 3
    assert set(named) <= TYPES.keys()


# The language of a pipeline: sections of plugins, which have settings, and conditions around plugins.

_TOKEN = re.compile(
    r"""\s+|\#[^\n]*|(?P<string>"(?:[^"\\]|\\.)*")|(?P<regex>/(?:[^/\\\n]|\\.)+/)|(?P<field>(?:\[[@A-Za-z0-9_.-]+\])+)"""
    r"""|(?P<arrow>=>)|(?P<operator>==|!=|<=|>=|=~|!~|[<>!])|(?P<word>[A-Za-z_][A-Za-z0-9_]*)|(?P<number>\d+)"""
    r"""|(?P<mark>[{}\[\],()])"""
)


class Pipeline:
    """Reads a configuration; ValueError where it is none. ``plugins``: section, name, the names of the settings."""

    def __init__(self, text: str) -> None:
        self._tokens: list[str] = []
        at = 0
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise ValueError(f"not understood: {text[at : at + 20]!r}")
            if match.lastgroup:
                self._tokens.append(match[0])
            at = match.end()
        self.plugins: list[tuple[str, str, set[str]]] = []
        self.fields: set[str] = {
            token[1:-1].replace("][", ".") for token in self._tokens if re.fullmatch(r"(\[[a-z_]+\])+", token)
        }
        while self._tokens:
            section = self._next()
            if section not in ("input", "filter", "output"):
                raise ValueError(f"{section} is no section")
            self._block(section)

    def _next(self, wanted: str | None = None) -> str:
        token = self._tokens.pop(0) if self._tokens else ""
        if not token or wanted not in (None, token):
            raise ValueError(f"{wanted or 'more'} is missing, there is {token!r}")
        return token

    def _block(self, section: str) -> None:
        self._next("{")
        while self._tokens and self._tokens[0] != "}":
            name = self._next()
            if name == "else" and self._tokens[0] != "if":
                self._block(section)
            elif name in ("if", "else"):
                while self._tokens and self._tokens[0] != "{":
                    self._next()
                self._block(section)
            else:
                self.plugins.append((section, name, self._settings()))
        self._next("}")

    def _settings(self) -> set[str]:
        self._next("{")
        names = set()
        while self._tokens and self._tokens[0] != "}":
            names.add(self._next())
            self._next("=>")
            self._value()
        self._next("}")
        return names

    def _value(self) -> None:
        token = self._next()
        if token == "{":
            while self._tokens and self._tokens[0] != "}":
                self._value()
                self._next("=>")
                self._value()
            self._next("}")
        elif token == "[":
            while self._tokens and self._tokens[0] != "]":
                self._value()
                if self._tokens[0] == ",":
                    self._next()
            self._next("]")
        elif token in ("}", "]", "=>", ","):
            raise ValueError(f"{token} is no value")


PLUGINS = [
    ("input", "beats", {"port", "ecs_compatibility"}),
    ("filter", "drop", set[str]()),
    ("filter", "mutate", {"add_field"}),
    ("filter", "mutate", {"add_tag"}),
    (
        "output",
        "elasticsearch",
        {"hosts", "api_key", "data_stream", "data_stream_type", "data_stream_dataset", "data_stream_namespace"},
    ),
]


@LOGSTASH
def test_logstashs_pipeline_is_well_formed_and_its_settings_exist() -> None:
    assert Pipeline((LOGS / "logstash.conf").read_text()).plugins == PLUGINS


@LOGSTASH
def test_logstash_names_fields_that_the_service_writes() -> None:
    fields = Pipeline((LOGS / "logstash.conf").read_text()).fields
    assert fields == {"event.dataset", "url.path", "http.response.status_code"}
    assert fields <= TYPES.keys()


BROKEN = [
    ("port => 5044", "port = 5044"),
    ("drop { }", "drop {"),
    ("output {", "outputs {"),
    ('data_stream => "true"', "data_stream =>"),
    ('=> "web"', '=> "web'),
]


@LOGSTASH
@pytest.mark.parametrize(("good", "bad"), BROKEN)
def test_a_broken_pipeline_would_be_found(good: str, bad: str) -> None:
    text = (LOGS / "logstash.conf").read_text()
    assert good in text
    with pytest.raises(ValueError, match=r"missing|no section|not understood|no value"):
        Pipeline(text.replace(good, bad, 1))
