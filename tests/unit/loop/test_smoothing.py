import numpy as np
import pytest
from numpy.typing import NDArray

from training.loop.smoothing import smooth

Array = NDArray[np.float64]


def pinned(truth_N: Array, noise: float, seed: int = 0) -> tuple[Array, NDArray[np.bool_]]:
    """The series as it was seen, exactly on every 25th frame."""
    exact_N = np.arange(len(truth_N)) % 25 == 12
    jitter = np.random.default_rng(seed).normal(scale=noise, size=len(truth_N))
    return np.where(exact_N, truth_N, truth_N + jitter)[:, None], exact_N


def error(a: Array, b: Array) -> float:
    return float(np.sqrt(np.mean((a - b) ** 2)))


def test_even_motion_is_interpolated_whatever_the_jitter() -> None:
    truth = 0.03 * np.arange(100.0)
    seen, exact = pinned(truth, 0.1)
    assert error(smooth(seen, exact)[:, 0], truth) < 0.02


def test_real_motion_between_exact_values_is_followed() -> None:
    truth = np.sin(np.arange(100) / 5)
    seen, exact = pinned(truth, 0.05)
    interpolated = np.interp(np.arange(100), np.flatnonzero(exact), truth[exact])
    found = error(smooth(seen, exact)[:, 0], truth)
    assert error(interpolated, truth) > 0.5
    assert found < 0.04
    assert found < error(seen[:, 0], truth)


def test_an_exact_value_outweighs_the_noisy_ones_around_it() -> None:
    truth = np.zeros(50)
    seen, exact = pinned(truth, 0.0)
    seen[~exact] = 0.1
    seen[20:24] = 0.13
    assert abs(smooth(seen, exact)[12, 0]) < 0.02


def test_what_was_not_seen_lies_on_the_way() -> None:
    truth = 0.05 * np.arange(60.0)
    seen, exact = pinned(truth, 0.01)
    seen[20:30] = np.nan
    assert smooth(seen, exact)[20:30, 0] == pytest.approx(truth[20:30], abs=0.05)


def test_far_from_zero_and_on_its_own_makes_no_difference() -> None:
    truth = np.sin(np.arange(60) / 8)
    seen, exact = pinned(truth, 0.05)
    both = smooth(np.hstack([seen, seen + 1000]), exact)
    assert both[:, 1] - 1000 == pytest.approx(both[:, 0], abs=1e-6)
    assert smooth(seen, exact)[:, 0] == pytest.approx(both[:, 0], abs=1e-9)


@pytest.mark.parametrize("num_frames", [1, 2, 3])
def test_very_short_series_come_back(num_frames: int) -> None:
    values = np.full((num_frames, 2), 4.0)
    assert smooth(values, np.arange(num_frames) == 0) == pytest.approx(values, abs=0.01)
