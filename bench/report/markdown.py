"""Markdown tables and numbers of the pages."""

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Every column but the first is aligned to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def section(title: str, *paragraphs: str, level: int = 2) -> str:
    """A heading and its paragraphs; empty paragraphs are left out, and so is an empty section."""
    said = [paragraph for paragraph in paragraphs if paragraph]
    return "\n\n".join([f"{'#' * level} {title}", *said]) if said else ""


def number(value: float) -> str:
    """Three significant digits, without an exponent."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
