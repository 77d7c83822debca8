"""Which frames a person should review next, once a micro-model has labelled the shard.

Expected corrections of a frame: e = doubt + UNLIKE * n * (1 - likeness to the most alike labelled frame), where n objects
are usual on a frame. Reviewing f corrects e_f; what is likewise wrong on a frame g that is as much like f as a_fg (0..1)
is then learned: a_fg * min(e_f, e_g) corrections are saved there. A frame's worth is the seconds it saves on all others
for each second of work, which is one look and e_f corrections. Frames are taken in turn by what they still add.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.data.annotations import FrameLabels
from training.data.ontology import Ontology
from training.data.shards import Shard
from training.loop.doubt import Doubt, doubts
from training.loop.sample import MAX_CANDIDATES, alike_frames
from training.loop.suggestion import Suggestion
from training.models.actions import Seconds
from training.models.backbones import Backbone
from training.models.tasks import task_for

__all__ = ["frames_to_review", "most_saving"]

UNLIKE = 0.5  # of the objects on a frame that is like no labelled one need correcting, before anything else is known


def frames_to_review(
    shard: Shard,
    ontology: Ontology,
    *,
    labels: Sequence[FrameLabels],
    predicted: Sequence[FrameLabels],
    candidates: Sequence[int],
    count: int,
    backbone: Backbone,
) -> list[Suggestion]:
    """Up to `count` of the candidates, best first; of each of MAX_CANDIDATES equal stretches only the most doubtful is tried.

    Args:
        labels: the frames that were fitted on, at least one.
        predicted: what the generation says; a frame that it could not read is not chosen.
        candidates: frames nobody touched, increasing.
    Raises:
        BadVideo, BadPicture: a frame cannot be decoded.
        BadBackbone: the starting weights cannot be used.
    """
    task = task_for(ontology)
    doubt = doubts(shard, ontology, labels=labels, predicted=predicted)
    readable = [index for index in candidates if index in doubt]
    tried = _most_doubtful(readable, doubt)
    if not tried:
        return []
    known = {frame.frame_index for frame in labels}
    frames = sorted({*tried, *known})
    alike_NN = alike_frames(shard, frames, len(known) + count, backbone=backbone)
    new, old = ([row for row, index in enumerate(frames) if (index in known) == labelled] for labelled in (False, True))
    usual = (sum(task.num_objects(frame) for frame in labels) + 1) / (len(labels) + 1)
    unlike_N = UNLIKE * usual * (1 - alike_NN[np.ix_(new, old)].max(axis=1))
    expected_N = unlike_N + [doubt[index].objects for index in tried]
    chosen = most_saving(expected_N, alike_NN[np.ix_(new, new)], count, task.seconds, weight=len(readable) / len(tried))
    return [
        Suggestion(
            shard_id=shard.shard_id,
            ontology=ontology.name,
            frame_index=tried[row],
            saves_s=saves_s,
            costs_s=costs_s,
            why=_why(doubt[tried[row]], float(unlike_N[row])),
        )
        for row, saves_s, costs_s in chosen
    ]


def most_saving(
    expected_N: NDArray[np.float64], alike_NN: NDArray[np.float64], count: int, seconds: Seconds, *, weight: float = 1.0
) -> list[tuple[int, float, float]]:
    """(row, seconds saved, seconds of work) of up to `count` frames, best first; each lowers what its likes still add.

    Args:
        expected_N: corrections expected on each frame.
        alike_NN: 0..1, how much each frame says about each other one.
        weight: frames that each row stands for.
    """
    shared_NN = alike_NN * np.minimum(expected_N[:, None], expected_N[None, :])
    np.fill_diagonal(shared_NN, 0.0)  # what is wrong on the frame itself is paid for, not saved
    costs_N = seconds.look + expected_N * seconds.draw
    saved_N = np.zeros(len(expected_N))
    left = set(range(len(expected_N)))
    chosen: list[tuple[int, float, float]] = []
    while left and len(chosen) < count:
        gain_N = np.maximum(shared_NN - saved_N[:, None], 0).sum(axis=0) * weight * seconds.draw
        order = np.lexsort((expected_N - saved_N, gain_N / costs_N))  # of equals, the one with most left to correct
        best = next(row for row in reversed(order.tolist()) if row in left)
        chosen.append((best, float(gain_N[best]), float(costs_N[best])))
        left.remove(best)
        saved_N = np.maximum(saved_N, shared_NN[:, best])
        saved_N[best] = expected_N[best]
    return chosen


def _most_doubtful(frame_indices: Sequence[int], doubt: dict[int, Doubt]) -> list[int]:
    """Of each of MAX_CANDIDATES equal stretches the frame most in doubt, in the middle if all are alike."""
    stretches = np.array_split(np.array(frame_indices, np.int64), min(MAX_CANDIDATES, max(len(frame_indices), 1)))
    return [
        max(stretch.tolist(), key=lambda index: (doubt[index].objects, -abs(index - int(stretch[len(stretch) // 2]))))
        for stretch in stretches
        if len(stretch)
    ]


def _why(doubt: Doubt, unlike: float) -> str:
    signs = {
        "objects jump or blink": doubt.jump,
        "an unusual number of objects": doubt.count,
        "low scores": doubt.faint,
        "unlike every labelled frame": unlike,
    }
    return max(signs, key=lambda name: signs[name])
