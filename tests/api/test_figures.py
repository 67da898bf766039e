"""The figures of the telemetry: a schema and a reader each."""

from arsenal_fast.api.figures import counter, counters, section, summed_figure
from arsenal_fast.api.json_schema import count
from arsenal_fast.observability.metrics import Metrics
from tests.support.rig import Rig


def test_a_section_is_an_object_of_its_figures() -> None:
    figure = section(
        {
            "served": summed_figure(count("Answers."), lambda summed: summed.answered),
            "open": counter("connections_open", "Open now."),
            **counters("limiter_", allowed="Passed.", denied="Refused."),
        },
        description="Some.",
    )
    assert figure.schema["required"] == ["served", "open", "allowed", "denied"]
    assert figure.schema["description"] == "Some."
    read = figure.read(Rig().service, Metrics(connections_open=2, limiter_allowed=3, limiter_denied=4))
    assert read == {"served": 0, "open": 2, "allowed": 3, "denied": 4}
