"""What one fit learns from: the labelled frames of a shard and, where its task wants them, some that nobody labelled."""

import logging
from dataclasses import replace

import numpy as np

from training.data.frames import Frame
from training.data.sources import open_frames
from training.errors import CorruptModel, NothingToLearn, UnknownModel
from training.learning.labelled import LabelledFrames, Start
from training.learning.recipes import Recipe
from training.learning.resolution import input_scale
from training.models.bases import with_base
from training.models.inputs import resized
from training.models.networks import config_of
from training.models.tasks import GridTask, task_for
from training.store.store import Store

__all__ = ["gather"]

log = logging.getLogger(__name__)


def gather(store: Store, shard_id: str, ontology: str, recipe: Recipe) -> LabelledFrames:
    """Decode the frames somebody labelled; unlabelled ones, evenly spaced, are kept at the size the network sees them in.

    Audit frames are neither. Where the recipe goes on from earlier weights, those of the live generation come along.

    Raises:
        UnknownShard, UnknownOntology: not in the store.
        NothingToLearn: nobody labelled anything, or audit frames only.
        BadVideo, BadPicture, BadInput: a frame cannot be decoded.
    """
    shard, labels = store.shard(shard_id), store.labels_to_fit(shard_id, ontology)
    if not labels:
        raise NothingToLearn(f"{shard_id}: no annotations of {ontology}, needed at least one labelled frame")
    task = task_for(store.ontology(ontology))
    solved = isinstance(task, GridTask)  # goes on from nothing
    num_others = task.num_others if isinstance(task, GridTask) else 0
    scale = min(1.0, input_scale(task.object_sizes(labels), width=shard.width, height=shard.height, recipe=recipe))
    labelled = {frame.frame_index for frame in labels}
    unlabelled = set(_spread(shard.num_frames, num_others)) - labelled - store.audit_frames(shard_id, ontology)
    frames: list[Frame] = []
    others: list[Frame] = []
    with open_frames(shard) as source:
        for frame in source.read(sorted(labelled | unlabelled)):
            if frame.frame_index in labelled:
                frames.append(frame)
            else:
                others.append(_reduced(frame, scale))
    return LabelledFrames(
        shard_id=shard_id,
        ontology=store.ontology(ontology),
        frames=tuple(frames),
        labels=tuple(labels),
        others=tuple(others),
        others_scale=scale,
        start=None if solved or not recipe.continued_steps else _start(store, shard_id, ontology),
    )


def _start(store: Store, shard_id: str, ontology: str) -> Start | None:
    """What answers now; a fit that cannot have it starts from the backbone, as its card says."""
    live = store.registry.live(shard_id, ontology)
    if live is None:
        return None
    try:
        card = store.registry.card(shard_id, ontology, live)
        tensors = store.registry.load(card)
        if card.base is None:
            return Start(ref=card.ref, tensors=tensors)
        base = store.registry.bases.load(card.base)
        return Start(ref=card.ref, tensors=with_base(config_of(card.network), tensors, base), base=base)
    except (UnknownModel, CorruptModel) as error:
        log.warning("the fit starts from the backbone shard_id=%s ontology=%s error=%s", shard_id, ontology, error)
        return None


def _spread(num_frames: int, count: int) -> list[int]:
    return [int(index) for index in np.linspace(0, num_frames - 1, min(count, num_frames)).round()]


def _reduced(frame: Frame, scale: float) -> Frame:
    alone = frame.alone()
    return replace(alone, image_HW3=resized(alone, scale).permute(1, 2, 0).contiguous().numpy())
