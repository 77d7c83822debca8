"""What more labels bring: one inline SVG of a shard's generations beside its neighbours."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

__all__ = ["draw_curve"]

_WIDTH, _HEIGHT = 560, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 180, 14, 34  # pixels around the axes; names of lines stand on the right
_TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)
_NEIGHBOUR_STYLES = ("var(--other)", "var(--hand)")
Line = tuple[str, str, str, list[tuple[int, float]]]  # name, colour, dashes, (labels, value) of each generation


def draw_curve(entry: Mapping[str, Any], measure: str) -> Markup | None:
    """Labelled frames on x; e_count dashed and `measure` solid on y, 0..1. None when there is but one generation.

    entry: one shard of `simulate --json`.
    """
    generations = entry["generations"]
    if len(generations) < 2:
        return None
    named: list[tuple[str, str, Sequence[Mapping[str, Any]]]] = [("micro-model", "var(--model)", generations)]
    by_generation = entry.get("baselines_by_generation", [])
    names = dict.fromkeys(name for one in by_generation for name in one)
    for number, name in enumerate(names):
        colour = _NEIGHBOUR_STYLES[number % len(_NEIGHBOUR_STYLES)]
        named.append((name, colour, [one[name] for one in by_generation if name in one]))
    lines = [line for name, colour, values in named for line in _lines(name, colour, values, measure)]
    first, last = generations[0]["frames_touched"], generations[-1]["frames_touched"]
    parts = [_axes(first, last, [one["frames_touched"] for one in generations])]
    parts += [_path(line, first, last) for line in lines]
    parts += [_legend(line, row) for row, line in enumerate(lines)]
    said = f"e_count and {measure} against labelled frames"
    return Markup('<svg class="curve" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        _WIDTH, _HEIGHT, said, Markup("").join(parts)
    )


def _lines(name: str, colour: str, values: Sequence[Mapping[str, Any]], measure: str) -> list[Line]:
    found: list[Line] = []
    for what, dashes in ((measure, "none"), ("e_count", "5 4")):
        points = [(one["frames_touched"], float(one[what])) for one in values if one.get(what) is not None]
        if points:
            found.append((f"{what.replace('_', ' ') if what != 'e_count' else what}, {name}", colour, dashes, points))
    return found


def _x(labels: int, first: int, last: int) -> float:
    return _LEFT + (labels - first) / max(last - first, 1) * (_WIDTH - _LEFT - _RIGHT)


def _y(value: float) -> float:
    return _TOP + (1 - min(max(value, 0.0), 1.0)) * (_HEIGHT - _TOP - _BOTTOM)


def _axes(first: int, last: int, labels: Sequence[int]) -> Markup:
    lines = [
        f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{_y(tick):.1f}" y2="{_y(tick):.1f}" stroke="var(--line)"/>'
        f'<text x="{_LEFT - 6}" y="{_y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>'
        for tick in _TICKS
    ]
    numbers = [f'<text x="{_x(one, first, last):.1f}" y="{_HEIGHT - 16}" text-anchor="middle">{one}</text>' for one in labels]
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    name = f'<text x="{middle:.1f}" y="{_HEIGHT - 2}" text-anchor="middle">frames touched by people</text>'
    return Markup("".join([*lines, *numbers, name]))


def _path(line: Line, first: int, last: int) -> Markup:
    _, colour, dashes, points = line
    places = [(_x(labels, first, last), _y(value)) for labels, value in points]
    d = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places)
    return Markup(f'<path d="{d}" stroke="{colour}" stroke-width="2" stroke-dasharray="{dashes}"/>{dots}')


def _legend(line: Line, row: int) -> Markup:
    name, colour, dashes, _ = line
    x, y = _WIDTH - _RIGHT + 12, _TOP + 6 + 18 * row
    return Markup(
        f'<path d="M{x} {y}h22" stroke="{colour}" stroke-width="2" stroke-dasharray="{dashes}"/>'
        f'<text x="{x + 28}" y="{y + 4}">{escape(name)}</text>'
    )
