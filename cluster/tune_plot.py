"""The trade-off of a search as one inline SVG: every trial a point, the front of the finished ones, and the winner."""

import math
from collections.abc import Sequence

from markupsafe import Markup, escape

from training.loop.trade_off import Trial, front

__all__ = ["draw_trade_off"]

_WIDTH, _HEIGHT = 720, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 20, 16, 40  # pixels around the axes
_TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)
_STEPS = (1, 2, 5)


def draw_trade_off(trials: Sequence[Trial], winner: Trial | None) -> Markup:
    """Seconds of compute a fit on x, logarithmic; held-out efficiency on y, 0..1, less than 0 at the bottom.

    Trials that ended early are hollow: they are judged on fewer shards. A mouse over a point shows which it is.
    """
    shown = [trial for trial in trials if trial.scores]
    place = _Place([trial.seconds for trial in shown])
    line = "L".join(f"{place.x(trial.seconds):.1f} {place.y(trial.efficiency):.1f}" for trial in front(trials))
    parts = [place.axes()]
    if line:
        parts.append(Markup(f'<path d="M{line}" stroke="var(--other)" stroke-width="2"/>'))
    parts += [_point(trial, place) for trial in shown]
    if winner is not None:
        x, y = place.x(winner.seconds), place.y(winner.efficiency)
        parts.append(Markup(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="9" fill="none" stroke="var(--model)" stroke-width="2"/>'))
    said = "held-out efficiency against seconds of compute a fit"
    return Markup('<svg class="curve" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        _WIDTH, _HEIGHT, said, Markup("").join(parts)
    )


class _Place:
    """Where seconds and efficiencies lie in the picture."""

    def __init__(self, seconds: Sequence[float]) -> None:
        known = [max(one, 1e-6) for one in seconds] or [1.0]
        self._low, self._high = math.log(min(known) / 1.2), math.log(max(known) * 1.2)

    def x(self, seconds: float) -> float:
        share = (math.log(max(seconds, 1e-6)) - self._low) / (self._high - self._low)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def y(self, efficiency: float) -> float:
        return _TOP + (1 - min(max(efficiency, 0.0), 1.0)) * (_HEIGHT - _TOP - _BOTTOM)

    def axes(self) -> Markup:
        lines = [
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{self.y(tick):.1f}" y2="{self.y(tick):.1f}" stroke="var(--line)"/>'
            f'<text x="{_LEFT - 6}" y="{self.y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>'
            for tick in _TICKS
        ]
        numbers = [
            f'<text x="{self.x(one):.1f}" y="{_HEIGHT - 22}" text-anchor="middle">{one:g}</text>' for one in self._seconds()
        ]
        middle = (_LEFT + _WIDTH - _RIGHT) / 2
        name = f'<text x="{middle:.1f}" y="{_HEIGHT - 4}" text-anchor="middle">seconds of compute a fit</text>'
        return Markup("".join([*lines, *numbers, name]))

    def _seconds(self) -> list[float]:
        """Round numbers between the ends: 1, 2, 5, 10, …"""
        decades = range(math.floor(self._low / math.log(10)) - 1, math.ceil(self._high / math.log(10)) + 1)
        rounds = (step * 10.0**decade for decade in decades for step in _STEPS)
        return [one for one in rounds if self._low <= math.log(one) <= self._high]


def _point(trial: Trial, place: _Place) -> Markup:
    colour = "var(--hand)" if trial.number == 0 else "var(--model)"
    fill = colour if trial.finished else "none"
    state = trial.error or trial.stopped or f"{len(trial.scores)} shards"
    said = f"trial {trial.number}, {trial.recipe.name}: {trial.efficiency:.2f} in {trial.seconds:.3g} s, {state}"
    x, y = place.x(trial.seconds), place.y(trial.efficiency)
    return Markup(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{fill}" stroke="{colour}"><title>{escape(said)}</title></circle>'
    )
