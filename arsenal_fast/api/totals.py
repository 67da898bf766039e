"""Caches the sum over the workers: taken at most once a second, and rendered once in each form.

Metrics and telemetry are not charged and cost as much as hundreds of identities, so their responses are cached. All
workers use the same sum for that second: the one that takes it shares it. If each cached its own, a scrape of one
worker could report less than an earlier scrape of another one.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from arsenal_fast.observability.metrics import Metrics
from arsenal_fast.observability.multiprocess import SharedCounters

KEPT_S: Final = 1.0
"""Seconds that a sum is cached. Scrapes are some 15 s apart; a dashboard reloads every few seconds."""

_MOMENT: Final = struct.Struct("=d")


class Totals:
    """The cached sum of one worker."""

    __slots__ = ("_monotonic", "_rendered", "_shared", "_sum", "_take", "_taken_s")

    def __init__(
        self, take: Callable[[], Metrics], monotonic: Callable[[], float], shared: SharedCounters | None
    ) -> None:
        """``take``: returns the sum as of now. ``shared``: memory of all workers; None where there is one."""
        self._take = take
        self._monotonic = monotonic
        self._shared = shared
        self._sum: Metrics | None = None
        self._taken_s = 0.0
        self._rendered: dict[object, bytes] = {}

    def rendered(self, form: object, render: Callable[[Metrics], bytes]) -> bytes:
        """Return the sum in a form, rendered by ``render`` the first time. ``form``: one of few."""
        total = self._current()
        answer = self._rendered.get(form)
        if answer is None:
            answer = self._rendered[form] = render(total)
        return answer

    def _current(self) -> Metrics:
        # No worker replaces a shared sum before its second is over: while ours is cached, there is no newer one.
        if self._sum is None or not self._is_kept(self._taken_s):
            self._rendered = {}
            self._sum, self._taken_s = self._renewed()
        return self._sum

    def _is_kept(self, taken_s: float) -> bool:
        return 0.0 <= self._monotonic() - taken_s < KEPT_S

    def _renewed(self) -> tuple[Metrics, float]:
        if self._shared is None:
            taken_s = self._monotonic()
            return self._take(), taken_s
        with self._shared.alone() as alone:
            shown = self._shared.read_sum()
            taken_s = _MOMENT.unpack_from(shown)[0] if shown else 0.0
            # If another worker is about to write a newer one, it is not visible yet.
            if shown and (self._is_kept(taken_s) or not alone):
                total = Metrics(written=taken_s)
                total.add(shown[_MOMENT.size :])
                return total, taken_s
            taken_s = self._monotonic()
            total = self._take()
            if alone:
                self._shared.write_sum(_MOMENT.pack(taken_s) + total.snapshot())
            return total, taken_s
