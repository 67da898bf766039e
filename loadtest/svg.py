"""Charts as SVG text: lines and dots over one pair of axes. Nothing is fetched and nothing runs."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape

WIDTH, HEIGHT = 720, 300
LEFT, RIGHT, TOP, BOTTOM = 76, 24, 34, 44
COLOURS = ("#2563eb", "#dc2626", "#059669", "#d97706", "#7c3aed", "#0891b2")

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """One set of points; ``dots`` draws them apart instead of joined."""

    name: str
    points: Sequence[Point]
    dots: bool = False
    colour: str = ""


@dataclass(frozen=True)
class Chart:
    """``limits``: (y, words) of horizontal dashed lines; ``counted``: the part of the x axis that is shaded."""

    title: str
    x_name: str
    y_name: str
    lines: Sequence[Line]
    limits: Sequence[tuple[float, str]] = ()
    counted: tuple[float, float] | None = None
    log_x: bool = False
    log_y: bool = False
    y_labels: Callable[[float], str] = field(default="{:g}".format)
    x_labels: Callable[[float], str] = field(default="{:g}".format)

    def render(self) -> str:
        """The whole ``<svg>``; a sentence in its place where there are no points."""
        xs = [x for line in self.lines for x, _ in line.points]
        ys = [y for line in self.lines for _, y in line.points] + [y for y, _ in self.limits]
        if not xs:
            return f"<p>{escape(self.title)}: nothing was measured.</p>"
        across = Axis.over(xs if self.log_x else [0.0, *xs, *(self.counted or ())], self.log_x, LEFT, WIDTH - RIGHT)
        up = Axis.over(ys if self.log_y else [0.0, *ys], self.log_y, HEIGHT - BOTTOM, TOP)
        parts = [
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(self.title)}">',
            f'<text x="{LEFT}" y="16" class="title">{escape(self.title)}</text>',
            *self._ground(across, up),
        ]
        for index, line in enumerate(self.lines):
            colour = line.colour or COLOURS[index % len(COLOURS)]
            parts += [_dots(line, across, up, colour) if line.dots else _path(line, across, up, colour)]
        parts += [*self._limits(up), *self._legend(), "</svg>"]
        return "\n".join(parts)

    def _ground(self, across: "Axis", up: "Axis") -> list[str]:
        found = []
        if self.counted:
            start, end = (across.at(x) for x in self.counted)
            size = f'width="{end - start:.1f}" height="{HEIGHT - TOP - BOTTOM}"'
            found.append(f'<rect class="counted" x="{start:.1f}" y="{TOP}" {size}/>')
        for y in up.ticks():
            at = f"{up.at(y):.1f}"
            found.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at}" y2="{at}"/>')
            found.append(_words(self.y_labels(y), LEFT - 6, up.at(y) + 4, "end"))
        found += [_words(self.x_labels(x), across.at(x), HEIGHT - BOTTOM + 16, "middle") for x in across.ticks()]
        found.append(_words(self.x_name, WIDTH - RIGHT, HEIGHT - 8, "end"))
        turned = f'transform="translate(12 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)"'
        found.append(f'<text class="tick" {turned} text-anchor="middle">{escape(self.y_name)}</text>')
        return found

    def _limits(self, up: "Axis") -> list[str]:
        found = []
        for y, words in self.limits:
            at = up.at(y)
            found.append(f'<line class="limit" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
            found.append(_words(words, LEFT + 6, at - 4, "start"))
        return found

    def _legend(self) -> list[str]:
        """In one row below the axis."""
        found, x = [], float(LEFT)
        for index, line in enumerate(self.lines):
            colour = line.colour or COLOURS[index % len(COLOURS)]
            found.append(f'<circle cx="{x + 5:.0f}" cy="{HEIGHT - 12}" r="4" fill="{colour}"/>')
            found.append(_words(line.name, x + 14, HEIGHT - 8, "start"))
            x += 30 + 6.5 * len(line.name)
        return found


@dataclass(frozen=True)
class Axis:
    """From values to pixels."""

    low: float
    high: float
    log: bool
    start: float
    end: float

    @classmethod
    def over(cls, values: Sequence[float], log: bool, start: float, end: float) -> "Axis":
        """Wide enough for all of them; a logarithmic one begins and ends at a power of ten."""
        low, high = min(values), max(values)
        if log:
            low, high = 10 ** math.floor(math.log10(low)), 10 ** math.ceil(math.log10(high) + 1e-9)
        elif high == low:
            high = low + 1
        return cls(low, high if log else low + (high - low) * 1.05, log, start, end)

    def at(self, value: float) -> float:
        low, high = (math.log10(self.low), math.log10(self.high)) if self.log else (self.low, self.high)
        share = ((math.log10(value) if self.log else value) - low) / (high - low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Powers of ten, or some five round numbers."""
        if self.log:
            powers = range(round(math.log10(self.low)), round(math.log10(self.high)) + 1)
            return [10.0**power for power in powers]
        rough = (self.high - self.low) / 5
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough)
        first = math.ceil(self.low / step)
        return [step * turn for turn in range(first, math.floor(self.high / step) + 1)]


def _words(text: str, x: float, y: float, anchor: str) -> str:
    return f'<text class="tick" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _path(line: Line, across: Axis, up: Axis, colour: str) -> str:
    points = " ".join(f"{across.at(x):.1f},{up.at(y):.1f}" for x, y in line.points)
    return f'<polyline class="line" stroke="{colour}" points="{points}"/>'


def _dots(line: Line, across: Axis, up: Axis, colour: str) -> str:
    dots = "".join(f'<circle cx="{across.at(x):.1f}" cy="{up.at(y):.1f}" r="1.6"/>' for x, y in line.points)
    return f'<g fill="{colour}" fill-opacity="0.5">{dots}</g>'
