"""Smoothing of noisy series that a few exact values pin down: what lies between them is as smooth as the series says."""

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve_banded, cholesky_banded

__all__ = ["smooth"]

Array = NDArray[np.float64]

EXACT = 0.005  # standard deviation of an exact value; the unit of everything here is that of the series
NOISES = tuple(np.geomspace(0.01, 0.16, 5))  # standard deviations of a noisy value that are tried; boxes further off find nothing
LASTING = (0.05, 0.6)  # shares of its variance that last,
MEMORY = 0.9  # and how much of them is left a frame later
STEPS = tuple(np.geomspace(1e-4, 0.2, 7))  # standard deviations of the change of the velocity, or of the value, a frame
USUAL_SPEED = 0.1  # standard deviation of the first velocity, a frame


class _Part(NamedTuple):
    """What the walk, or the error, adds to the precision of (value, lasting error) of each frame in turn.

    bands: upper bands (5, 2 N). trust_N: 1 / variance of the white error of what was seen, 0 elsewhere.
    """

    bands: Array
    trust_N: Array
    log_determinant: float


def smooth(values_NC: Array, exact_N: NDArray[np.bool_]) -> Array:
    """(N, C) posterior mean of C series that were seen together, one row a frame.

    Each series is a random walk of its velocity or of its value; a value that was seen is off by white noise and by noise
    that lasts for some frames (an AR(1) process), an exact one hardly at all. That is what the smoother of Rauch, Tung and
    Striebel computes, here as one banded system. How much the walk and the noise are is not estimated but averaged over a
    grid, by the likelihood of what was seen. Where a series moves evenly between exact values, the mean is interpolation;
    where it does not, it is what was seen without its jitter.

    Args:
        values_NC: NaN where nothing was seen, in all C series alike; at least one row was seen.
        exact_N: rows that were seen exactly.
    """
    seen_N = np.isfinite(values_NC[:, 0])
    centre_C = values_NC[seen_N].mean(axis=0)
    y_NC = np.where(seen_N[:, None], values_NC - centre_C, 0.0)
    walks = list(_walks(len(y_NC)))
    errors = [_error(noise, lasting, seen_N, exact_N) for noise, lasting in product(NOISES, LASTING)]
    found = [_posterior(walk, error, y_NC) for walk, error in product(walks, errors)]
    log_GC = np.stack([log_C for _, log_C in found])
    weight_GC = np.exp(log_GC - log_GC.max(axis=0))
    mean_NC = np.einsum("gc,gnc->nc", weight_GC / weight_GC.sum(axis=0), np.stack([mean for mean, _ in found]))
    return np.asarray(mean_NC + centre_C)


def _walks(num_frames: int) -> Iterator[_Part]:
    start = np.zeros((3, num_frames))
    start[2, :2], start[1, 1:2] = 1.0, -1.0
    for step in STEPS:
        yield _walk(_bands(num_frames, (-1.0, 1.0)) / step**2, -2 * (num_frames - 1) * np.log(step))
        if num_frames > 2:
            fixed = -2 * (num_frames - 2) * np.log(step) - 2 * np.log(USUAL_SPEED)
            yield _walk(_bands(num_frames, (1.0, -2.0, 1.0)) / step**2 + start / USUAL_SPEED**2, fixed)


def _walk(bands_3N: Array, log_determinant: float) -> _Part:
    bands = np.zeros((5, 2 * bands_3N.shape[1]))
    bands[::2, ::2] = bands_3N
    return _Part(bands, np.zeros(bands_3N.shape[1]), log_determinant)


def _error(noise: float, lasting: float, seen_N: NDArray[np.bool_], exact_N: NDArray[np.bool_]) -> _Part:
    num_frames = len(seen_N)
    trust_N = seen_N / np.where(exact_N, EXACT**2, noise**2 * (1 - lasting))
    shared_N = np.where(exact_N, 0.0, trust_N)
    change = noise**2 * lasting * (1 - MEMORY**2)
    bands = np.zeros((5, 2 * num_frames))
    bands[4, ::2] = trust_N
    bands[3, 1::2] = shared_N
    bands[4, 1::2] = shared_N + (1 + MEMORY**2) / change
    bands[4, [1, -1]] -= MEMORY**2 / change
    bands[2, 3::2] = -MEMORY / change
    fixed = np.log(trust_N[seen_N]).sum() - num_frames * np.log(change) + np.log(1 - MEMORY**2)
    return _Part(bands, trust_N, float(fixed))


def _bands(num_frames: int, difference: tuple[float, ...]) -> Array:
    """Upper bands (3, N) of D'D, D being a running difference."""
    bands, order = np.zeros((3, num_frames)), len(difference)
    for a, b in product(range(order), range(order)):
        if b >= a:
            bands[2 - (b - a), b : num_frames - order + 1 + b] += difference[a] * difference[b]
    return bands


def _posterior(walk: _Part, error: _Part, y_NC: Array) -> tuple[Array, Array]:
    """Mean (N, C) and log likelihood (C,)."""
    factor = cholesky_banded(walk.bands + error.bands, check_finite=False)
    pull = np.zeros((2 * len(y_NC), y_NC.shape[1]))
    pull[::2] = error.trust_N[:, None] * y_NC
    pull[1::2] = np.where(error.bands[3, 1::2] > 0, error.trust_N, 0)[:, None] * y_NC
    state = cho_solve_banded((factor, False), pull, check_finite=False)
    misfit_C = (error.trust_N[:, None] * y_NC**2).sum(axis=0) - (pull * state).sum(axis=0)
    fixed = walk.log_determinant + error.log_determinant - 2 * np.log(factor[4]).sum()
    return state[::2], 0.5 * (fixed - misfit_C)
