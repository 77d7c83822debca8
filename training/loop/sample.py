"""Which frames a person should label first, when nothing but their looks is known; `revisit` has the later rounds."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.shards import Shard
from training.loop.appearance import frame_features, ground_kinds
from training.models.backbones import Backbone

__all__ = ["MAX_CANDIDATES", "alike_frames", "evenly_spaced", "representative", "representative_frames", "varied"]

MAX_CANDIDATES = 200  # frames of a shard whose looks are compared
NEARNESS_SHARE = 0.5  # how much nearness in time says about what two frames of a video have in common; looks say the rest
ENOUGH = 0.1  # of a tile's area: from there on, more of one kind of ground adds little
EXCHANGES = 10  # times round, at most


def evenly_spaced(num_frames: int, count: int, *, with_ends: bool = False) -> list[int]:
    """`count` frames spread over 0..num_frames-1 (all of them if there are no more), in order.

    with_ends: first and last are among them, as interpolation wants; else the middles of equal stretches, which keeps
        every frame nearest to a labelled one.
    """
    if count >= num_frames:
        return list(range(num_frames))
    if with_ends and count > 1:
        return [round(i * (num_frames - 1) / (count - 1)) for i in range(count)]
    return [int((i + 0.5) * num_frames / count) for i in range(count)]


def representative_frames(shard: Shard, candidates: Sequence[int], count: int, *, backbone: Backbone) -> list[int]:
    """The first frames to label: together they stand for as much of the shard as possible.

    Of a video or a folder, those most similar to all others; of a scene, those that show every kind of ground.

    Args:
        candidates: frames to choose among, increasing; at most MAX_CANDIDATES of them, evenly spaced, are looked at.
    Raises:
        BadVideo, BadPicture: a frame cannot be decoded.
        BadBackbone: the starting weights cannot be used.
    """
    if count >= len(candidates):
        return list(candidates)
    looked_at = [candidates[position] for position in evenly_spaced(len(candidates), MAX_CANDIDATES)]
    if shard.kind == "scene":
        chosen = varied(ground_kinds(shard, looked_at, backbone), count)
    else:
        chosen = representative(frame_features(shard, looked_at, backbone), count, times=_times(shard, looked_at))
    return [looked_at[position] for position in chosen]


def alike_frames(shard: Shard, frame_indices: Sequence[int], count: int, *, backbone: Backbone) -> NDArray[np.float64]:
    """(N, N) from 0 to 1: how much each frame says about each other one, where `count` frames stand for the whole shard.

    Raises what representative_frames does; frame_indices must increase.
    """
    features = ground_kinds if shard.kind == "scene" else frame_features
    return _alike(np.asarray(features(shard, frame_indices, backbone)), _times(shard, frame_indices), count)


def representative(features_ND: NDArray[np.float32], count: int, *, times: NDArray[np.float64] | None = None) -> list[int]:
    """Rows that together are most similar to all rows, in order: facility location.

    Similar is what has nearly the same direction from the mean row and, with times, lies near in time.

    Args:
        times: of the rows, in any unit; None if their order means nothing.
    """
    similar_NN = _alike(features_ND, times, count)

    def gain(chosen: Sequence[int]) -> NDArray[np.float64]:
        covered_N = similar_NN[:, list(chosen)].max(axis=1, initial=0)
        return np.asarray(np.maximum(similar_NN - covered_N[:, None], 0).sum(axis=0))

    return _choose(len(similar_NN), count, gain)


def varied(shares_NK: NDArray[np.float64], count: int) -> list[int]:
    """Rows that together have enough of every one of K kinds, in order; each kind counts the same, however rare.

    Args:
        shares_NK: how much of each kind a row has; from ENOUGH on, more of a kind adds little.
    """

    def gain(chosen: Sequence[int]) -> NDArray[np.float64]:
        before_K = shares_NK[list(chosen)].sum(axis=0)
        unmet_K, unmet_NK = np.exp(-before_K / ENOUGH), np.exp(-(before_K + shares_NK) / ENOUGH)
        return np.asarray((unmet_K - unmet_NK).sum(axis=1))

    return _choose(len(shares_NK), count, gain)


def _choose(num_rows: int, count: int, gain: Callable[[Sequence[int]], NDArray[np.float64]]) -> list[int]:
    """Greedily, which is within 1 - 1/e of the best set (Nemhauser, Wolsey & Fisher, 1978), then by exchange.

    gain: rows chosen so far -> (N,) what each row would add.
    """

    def best(chosen: Sequence[int]) -> int:
        gain_N = gain(chosen)
        gain_N[list(chosen)] = -1.0
        return int(gain_N.argmax())

    chosen: list[int] = []
    for _ in range(min(count, num_rows)):
        chosen.append(best(chosen))
    for _ in range(EXCHANGES):
        before = set(chosen)
        for _ in range(len(chosen)):
            chosen = [*chosen[1:], best(chosen[1:])]
        if set(chosen) == before:
            break
    return sorted(chosen)


def _times(shard: Shard, frame_indices: Sequence[int]) -> NDArray[np.float64] | None:
    return np.array(frame_indices, np.float64) if shard.kind == "video" else None


def _alike(features_ND: NDArray[Any], times: NDArray[np.float64] | None, count: int) -> NDArray[np.float64]:
    similar_NN = _similarity(features_ND)
    if times is None:
        return similar_NN
    return (1 - NEARNESS_SHARE) * similar_NN + NEARNESS_SHARE * _nearness(times, count)


def _similarity(features_ND: NDArray[Any]) -> NDArray[np.float64]:
    """(N, N) cosines between what sets the rows apart from their mean; opposites count as merely unlike."""
    away_ND = features_ND.astype(np.float64) - features_ND.mean(axis=0)
    away_ND /= np.maximum(np.linalg.norm(away_ND, axis=1, keepdims=True), 1e-9)
    cosine_NN: NDArray[np.float64] = np.clip(away_ND @ away_ND.T, 0, 1)
    return cosine_NN


def _nearness(times_N: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """(N, N) from 1 at the same time to little beyond the stretch that each of `count` frames would stand for."""
    reach = max(float(np.ptp(times_N)) / count / 2, 1e-9)
    return np.exp(-0.5 * ((times_N[:, None] - times_N[None, :]) / reach) ** 2)
