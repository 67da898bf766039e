"""The figures of health and telemetry: each has a schema, and says how its value is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from arsenal_fast.api.json_schema import Schema, count, object_of
from arsenal_fast.api.services import Services
from arsenal_fast.observability.metrics import Metrics


class Figure(NamedTuple):
    """One member of the telemetry: its schema, and how its value is read."""

    schema: Schema
    read: Callable[[Services, Metrics], object]


def section(figures: dict[str, Figure], **keywords: Any) -> Figure:
    """Return the figure that is an object of others."""
    schema = object_of({name: figure.schema for name, figure in figures.items()}, **keywords)
    return Figure(
        schema, lambda services, summed: {name: figure.read(services, summed) for name, figure in figures.items()}
    )


def summed_figure(schema: Schema, read: Callable[[Metrics], object]) -> Figure:
    """Return a figure that is read from the sum over the workers."""
    return Figure(schema, lambda _, summed: read(summed))


def counter(metric: str, description: str) -> Figure:
    """Return the figure that is a count of the metrics."""
    return Figure(count(description), lambda _, summed: getattr(summed, metric))


def counters(prefix: str, **descriptions: str) -> dict[str, Figure]:
    """Return the figures that have the names of metrics without their prefix."""
    return {name: counter(prefix + name, description) for name, description in descriptions.items()}
