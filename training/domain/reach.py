"""How far the domains of shards reach: as far as their own frames need it, and no further than other shards let them.

Nothing here was fitted to any sequence: the shares below say what is wanted, and the store's own frames say the rest.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from training.store.descriptors import Descriptor

__all__ = ["nearest_rows", "own_reach", "reaches"]

ORDINARY = 0.9  # share of a shard's own frames that its domain holds, each left out in turn, in the view that needs most
STRANGERS = 0.01  # share of other shards' frames that it may hold all the same
MAX_WITNESSES = 2000  # frames of all shards together that are asked about each domain
BLOCK_ROWS = 100_000


def reaches(descriptors: Sequence[Descriptor]) -> NDArray[np.float64]:
    """(S,) distance from the nearest row at which each domain ends.

    Split-conformal (Vovk et al., 2005; Lei et al., 2018) from the shard's own frames, then cut in two ways: no more than
    STRANGERS of the frames of other shards are inside, and, leaving one shard out at a time, no more than STRANGERS of its
    frames are inside any other. Not asked are shards that look alike (see `_alike`), and frames that are as near to another
    shard as to their own, such as black ones: those tell nothing about where a domain ends (Wilson, 1972).
    """
    own_S = np.array([own_reach(one.own_VK) for one in descriptors], np.float64)
    if not descriptors:
        return own_S
    rows_CD, owner_C, apart_C = _witnesses(descriptors)
    away_CS = nearest_rows(descriptors, rows_CD)
    away_CS[np.arange(len(owner_C)), owner_C] = np.inf
    for shard, other in _alike(descriptors, away_CS <= own_S, owner_C, own_S):
        away_CS[owner_C == shard, other] = np.inf
    telling_CS = away_CS[away_CS.min(axis=1, initial=np.inf) > apart_C]
    cut_S = _low_quantile(telling_CS)
    fleet = _low_quantile(telling_CS.min(axis=1, initial=np.inf)[:, None])[0]
    reach_S: NDArray[np.float64] = np.minimum(own_S, np.minimum(cut_S, fleet))
    return reach_S


def own_reach(own_VK: NDArray[np.float32]) -> float:
    """The distance that ORDINARY of a shard's own frames keep in every view, for as many frames as there are."""
    num_frames = own_VK.shape[1]
    rank = min(num_frames, math.ceil(ORDINARY * (num_frames + 1)))
    return max(float(np.sort(own_VK, axis=1)[:, rank - 1].max()), float(np.finfo(np.float16).eps))


def nearest_rows(descriptors: Sequence[Descriptor], rows_CD: NDArray[np.float32]) -> NDArray[np.float32]:
    """(C, S) distance of each row from the nearest one of each shard, some shards at a time."""
    away_CS = np.empty((len(rows_CD), len(descriptors)), np.float32)
    start = 0
    while start < len(descriptors):
        stop, num_rows = start + 1, len(descriptors[start].seen_MD)
        while stop < len(descriptors) and num_rows + len(descriptors[stop].seen_MD) <= BLOCK_ROWS:
            num_rows, stop = num_rows + len(descriptors[stop].seen_MD), stop + 1
        block = descriptors[start:stop]
        starts = np.cumsum([0, *(len(one.seen_MD) for one in block)])[:-1]
        cosine_CM = rows_CD @ np.concatenate([one.seen_MD for one in block]).T
        away_CS[:, start:stop] = np.sqrt(np.maximum(2 - 2 * np.maximum.reduceat(cosine_CM, starts, axis=1), 0))
        start = stop
    return away_CS


def _witnesses(
    descriptors: Sequence[Descriptor],
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
    """(C, D) frames of all shards, whose they are, and how far each is from the others of its own shard."""
    each = max(1, MAX_WITNESSES // max(1, len(descriptors)))
    asked = range(0, len(descriptors), max(1, -(-len(descriptors) // MAX_WITNESSES)))
    chosen = [(shard, np.unique(np.linspace(0, len(descriptors[shard].apart_K) - 1, each).astype(int))) for shard in asked]
    return (
        np.concatenate([descriptors[shard].plain_KD[some] for shard, some in chosen]),
        np.concatenate([np.full(len(some), shard) for shard, some in chosen]),
        np.concatenate([descriptors[shard].apart_K[some] for shard, some in chosen]),
    )


def _alike(
    descriptors: Sequence[Descriptor], inside_CS: NDArray[np.bool_], owner_C: NDArray[np.int64], own_S: NDArray[np.float64]
) -> Iterator[tuple[int, int]]:
    """Pairs of a witness's shard and one that shows the same: of each, more frames are inside the other than may be unusual."""
    frame, other = np.nonzero(inside_CS)
    pairs, counts = np.unique(np.stack([owner_C[frame], other], axis=1), axis=0, return_counts=True)
    asked_S = np.bincount(owner_C, minlength=len(descriptors))
    often = counts > (1 - ORDINARY) * asked_S[pairs[:, 0]]
    for shard, other in pairs[often].tolist():
        back_K = nearest_rows([descriptors[shard]], descriptors[other].plain_KD)[:, 0] <= own_S[shard]
        if back_K.mean() > 1 - ORDINARY:
            yield shard, other


def _low_quantile(away_CS: NDArray[np.float32]) -> NDArray[np.float64]:
    """(S,) of each column the largest distance that at most STRANGERS of its finite ones are below; infinite without any."""
    sorted_CS = np.sort(away_CS, axis=0).astype(np.float64)
    if not len(sorted_CS):
        return np.full(away_CS.shape[1], np.inf)
    position_S = np.floor(STRANGERS * np.isfinite(sorted_CS).sum(axis=0)).astype(int)
    quantile_S: NDArray[np.float64] = sorted_CS[np.minimum(position_S, len(sorted_CS) - 1), np.arange(away_CS.shape[1])]
    return quantile_S
