"""Which frames a person should look at next."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.data.shards import Shard
from training.loop.appearance import frame_features
from training.models.backbones import Backbone

__all__ = ["evenly_spaced", "representative", "representative_frames"]

MAX_CANDIDATES = 200  # frames of a shard whose looks are compared
NEARNESS_SHARE = 0.5  # how much nearness in time says about what two frames of a video have in common; looks say the rest
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

    Args:
        candidates: frames to choose among, increasing; at most MAX_CANDIDATES of them, evenly spaced, are looked at.
    Raises:
        BadVideo, BadPicture: a frame cannot be decoded.
        BadBackbone: the starting weights cannot be used.
    """
    if count >= len(candidates):
        return list(candidates)
    looked_at = [candidates[position] for position in evenly_spaced(len(candidates), MAX_CANDIDATES)]
    features_ND = frame_features(shard, looked_at, backbone)
    pixels = None if shard.scene is None else [_pixels(shard, index) for index in looked_at]
    times = np.array(looked_at, np.float64) if shard.kind == "video" else None
    return [looked_at[position] for position in representative(features_ND, count, times=times, weights=pixels)]


def representative(
    features_ND: NDArray[np.float32],
    count: int,
    *,
    times: NDArray[np.float64] | None = None,
    weights: Sequence[float] | None = None,
) -> list[int]:
    """Rows that together are most similar to all rows, in order: facility location, greedily and then by exchange.

    Greedy selection is within 1 - 1/e of the best set (Nemhauser, Wolsey & Fisher, 1978); then each row in turn gives way
    to a better one. Similar is what has nearly the same direction from the mean row and, with times, lies near in time.

    Args:
        times: of the rows, in any unit; None if their order means nothing.
        weights: how much each row counts, as what is to be stood for and as what is labelled; equal unless given.
    """
    similar_NN = _similarity(features_ND)
    if times is not None:
        similar_NN = (1 - NEARNESS_SHARE) * similar_NN + NEARNESS_SHARE * _nearness(times, count)
    weight_N = np.ones(len(similar_NN)) if weights is None else np.asarray(weights, np.float64)
    covering_NN = similar_NN * weight_N[:, None]
    chosen: list[int] = []
    for _ in range(min(count, len(covering_NN))):
        chosen.append(_most_useful(covering_NN, weight_N, chosen))
    for _ in range(EXCHANGES):
        before = list(chosen)
        for _ in range(len(chosen)):
            rest = chosen[1:]
            chosen = [*rest, _most_useful(covering_NN, weight_N, rest)]
        if sorted(chosen) == sorted(before):
            break
    return sorted(chosen)


def _most_useful(covering_NN: NDArray[np.float64], weight_N: NDArray[np.float64], chosen: Sequence[int]) -> int:
    """The row that adds most to what the chosen ones cover; row i, column j: how well j stands for i."""
    covered_N = covering_NN[:, list(chosen)].max(axis=1, initial=0)
    gain_N = weight_N * np.maximum(covering_NN - covered_N[:, None], 0).sum(axis=0)
    gain_N[list(chosen)] = -1.0
    return int(gain_N.argmax())


def _similarity(features_ND: NDArray[np.float32]) -> NDArray[np.float64]:
    """(N, N) cosines between what sets the rows apart from their mean; opposites count as merely unlike."""
    away_ND = features_ND.astype(np.float64) - features_ND.mean(axis=0)
    away_ND /= np.maximum(np.linalg.norm(away_ND, axis=1, keepdims=True), 1e-9)
    cosine_NN: NDArray[np.float64] = np.clip(away_ND @ away_ND.T, 0, 1)
    return cosine_NN


def _nearness(times_N: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """(N, N) from 1 at the same time to little beyond the stretch that each of `count` frames would stand for."""
    reach = max(float(np.ptp(times_N)) / count / 2, 1e-9)
    return np.exp(-0.5 * ((times_N[:, None] - times_N[None, :]) / reach) ** 2)


def _pixels(shard: Shard, frame_index: int) -> float:
    assert shard.scene is not None
    window = shard.scene.window(frame_index)
    return float(window.width * window.height)
