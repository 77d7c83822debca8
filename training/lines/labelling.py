"""A line over whole shards, a clip at a time: what is still to be labelled, and labelling it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import torch

from training.data.frames import Frame
from training.data.line_labels import LineLabels
from training.errors import MicroModelError
from training.learning.labelling import FRAMES_PER_CLIP, Clip, ClipPlan, ClipReceipt, label_clip, missing_clips
from training.lines.ready import ReadyLine, bank_of
from training.lines.run import run_line
from training.models.bank import Bank
from training.models.cache import ModelCache
from training.store.ahead import ahead
from training.store.store import Store

__all__ = ["LineLabeller", "plan_line"]

_EVERYTHING = 2**62  # bytes: one actor runs one line, and needs all of its micro-models for every clip


def plan_line(
    store: Store, line: ReadyLine, shard_ids: Sequence[str] | None, *, frames_per_clip: int = FRAMES_PER_CLIP
) -> ClipPlan:
    """Clips of all frames of the shards asked for that this line, with these generations, has not labelled yet.

    Of a clip, `ontology` is the line's name and `generation` its version.

    Args:
        shard_ids: None for the shards that the line is made for.
    Raises:
        UnknownShard: named explicitly and not in the store.
    """
    wanted = [store.shard(shard_id) for shard_id in dict.fromkeys(shard_ids or line.shard_ids)]
    done = list(ahead(lambda shard: store.line_predictions.done(line.line.ref, line.models, shard.shard_id), wanted))
    clips = [
        clip
        for shard, there in zip(wanted, done, strict=True)
        for clip in missing_clips(
            there,
            shard.num_frames,
            shard_id=shard.shard_id,
            ontology=line.line.name,
            generation=line.line.version,
            frames_per_clip=frames_per_clip,
        )
    ]
    return ClipPlan(clips=clips, skipped=sum(map(len, done)), failures={})


class LineLabeller:
    """Decodes clips, runs the line over them and writes what it says; its micro-models stay in memory.

    line: as it was planned: a generation that goes live meanwhile changes nothing.
    """

    def __init__(self, store: Store, *, line: ReadyLine, device: torch.device | str = "cpu") -> None:
        self._store, self._line, self._device = store, line, torch.device(device)
        self._bank: Bank | None = None

    def label(self, clip: Clip) -> ClipReceipt:
        """Label one clip and write it; never raises for a bad shard, the receipt says what happened."""
        try:
            return label_clip(self._store, clip, self._predict, self._write)
        except MicroModelError as error:
            return ClipReceipt(**asdict(clip), error=f"{type(error).__name__}: {error}")

    def _predict(self, frames: Sequence[Frame]) -> list[LineLabels]:
        if self._bank is None:
            self._bank = bank_of(self._line, ModelCache(self._store.registry, _EVERYTHING).get, self._device)
        return run_line(self._line, self._bank, frames)

    def _write(self, clip: Clip, labels: Sequence[LineLabels], errors: Mapping[int, str], seconds: Mapping[str, float]) -> str:
        where = self._line.line.ref, self._line.models, clip.shard_id, clip.start, clip.stop
        return self._store.line_predictions.write(*where, labels, errors, seconds)
