"""One curve, fitted twice with equally many numbers: by many small models, each overfitted to its own piece, and by one.

    python docs/overfit.py [--out FILE.svg]

Prints the error of both between the labelled points, and draws the figure of docs/overfit.md.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.polynomial import Chebyshev
from numpy.typing import NDArray

PIECES, LABELS = 16, 5  # pieces of the curve, labelled points on each: a polynomial through five points has five numbers
WIDTH, HEIGHT, GAP = 860, 190, 34
SHOWN = 4  # the small model that is also drawn where it does not belong
Values = NDArray[np.float64]


def curve(x: Values) -> Values:
    """What is to be learned, for x in 0..1: sixteen pieces in a row, as videos are, each smooth and a world of its own."""
    piece = np.minimum((x * PIECES).astype(int), PIECES - 1)
    level, height, pace, start = np.random.default_rng(3).uniform((-0.9, 0.2, 2, 0), (0.9, 0.8, 5, 6), (PIECES, 4))[piece].T
    return level + height * np.sin(pace * (x * PIECES - piece) + start)


def labelled() -> Values:
    """The points that somebody labelled: (PIECES, LABELS)."""
    return (np.arange(PIECES)[:, None] + np.linspace(0.05, 0.95, LABELS)) / PIECES


def fit_small() -> list[Chebyshev]:
    """Every small model goes exactly through the points of its piece and knows nothing of the others."""
    return [Chebyshev.fit(x, curve(x), LABELS - 1, domain=[x[0], x[-1]]) for x in labelled()]


def fit_large(size: int) -> Callable[[Values], Values]:
    """One model of all points, a sum of `size` waves by least squares; unlike one polynomial it does not swing at the ends."""
    x = labelled().ravel()
    numbers, *_ = np.linalg.lstsq(_waves(x, size), curve(x), rcond=1e-6)
    return lambda x: _waves(x, size) @ numbers


def _waves(x: Values, size: int) -> Values:
    return np.cos(np.pi * np.arange(size) * x[:, None])


def error(said: Values, x: Values) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean((said - curve(x)) ** 2)))


def draw(x: Values, small: Values, large: Values, beyond: Values) -> str:
    """The figure: the small models above, the large one below."""
    total = 2 * (HEIGHT + GAP) + 12
    title = f"{PIECES} small models, each overfitted to the {LABELS} points of its own piece"
    above = _panel(x, small, title, GAP, beyond)
    below = _panel(x, large, "one model with as many numbers, the best there is for all the points", HEIGHT + 2 * GAP)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {total}" font-family="sans-serif" font-size="15">\n'
        f'<rect width="{WIDTH}" height="{total}" fill="#fbfaf7"/>\n{above}{below}</svg>\n'
    )


def _panel(x: Values, said: Values, title: str, top: int, beyond: Values | None = None) -> str:
    lines = [f'<text x="14" y="{top - 11}" fill="#1d2126">{title}: error {error(said, x):.3f}</text>']
    lines.append(_line(x, curve(x), top, 'stroke="#c9cdd2" stroke-width="6"'))
    if beyond is not None:
        edges = (f'<path d="M{_x(piece / PIECES)} {top}v{HEIGHT}" stroke="#e3e0d8"/>' for piece in range(1, PIECES))
        near = (np.abs(x * PIECES - SHOWN - 0.5) < 2) & (np.abs(beyond) < 2)
        lines += [*edges, _line(x[near], beyond[near], top, 'stroke="#b45309" stroke-width="1.5" stroke-dasharray="5 4"')]
    lines.append(_line(x, said, top, 'stroke="#0f766e" stroke-width="2"'))
    points = ((point, float(curve(np.array([point]))[0])) for point in labelled().ravel().tolist())
    lines += [f'<circle cx="{_x(a)}" cy="{_y(b, top)}" r="2.4" fill="#1d2126"/>' for a, b in points]
    return "\n".join(lines) + "\n"


def _line(x: Values, y: Values, top: int, style: str) -> str:
    points = " ".join(f"{_x(a)},{_y(b, top)}" for a, b in zip(x.tolist(), y.tolist(), strict=True))
    return f'<polyline points="{points}" fill="none" stroke-linejoin="round" {style}/>'


def _x(x: float) -> str:
    return f"{14 + x * (WIDTH - 28):.1f}"


def _y(y: float, top: int) -> str:
    """-2..2 from bottom to top; what leaves the panel ends at its edge."""
    return f"{top + HEIGHT * (0.5 - max(-2.0, min(2.0, y)) / 4):.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".svg"))
    out = parser.parse_args().out
    x = (np.arange(800) + 0.5) / 800
    models = fit_small()
    small = np.array([models[int(value * PIECES)](value) for value in x])
    largest = PIECES * LABELS
    errors = {size: error(fit_large(size)(x), x) for size in range(1, largest + 1)}
    best = min(errors, key=lambda size: errors[size])
    beyond = models[SHOWN](x)
    elsewhere = (x * PIECES).astype(int) != SHOWN
    out.write_text(draw(x, small, fit_large(best)(x), beyond), encoding="utf-8")
    said = [
        f"local error {error(small, x):.4f}: {PIECES} models of {LABELS} numbers",
        f"global error {errors[largest]:.4f}: one model of {largest} numbers",
        f"global error at best {errors[best]:.4f}: {best} of its numbers used, chosen with the truth in hand",
        f"one small model elsewhere: error {error(beyond[elsewhere], x[elsewhere]):.4f}",
    ]
    sys.stdout.write("\n".join(said) + "\n")


if __name__ == "__main__":
    main()
