"""A line over whole shards, a clip at a time: what is still to be labelled, and labelling it."""

from collections.abc import Iterator, Mapping, Sequence

import torch

from training.data.annotations import FrameLabels
from training.data.frames import Frame
from training.data.line_labels import LineLabels
from training.learning.clip import Clip, ClipReceipt
from training.learning.label_stream import Begin, StreamThreads, label_stream
from training.learning.labelling import FRAMES_PER_CLIP, ClipPlan, missing_clips
from training.lines.ready import ReadyLine, bank_of
from training.lines.run import run_line
from training.models.cache import ModelCache
from training.models.precision import Precision
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
    threads: that decode.
    precision: of the micro-models' trunks.
    """

    def __init__(
        self,
        store: Store,
        *,
        line: ReadyLine,
        device: torch.device | str = "cpu",
        threads: int = 1,
        precision: Precision = Precision.auto,
    ) -> None:
        self._store, self._line, self._threads = store, line, StreamThreads(threads)
        self._models = ModelCache(store.registry, _EVERYTHING, device, precision=precision)

    def label(self, clips: Sequence[Clip], *, begin: Begin = lambda clip: None) -> Iterator[ClipReceipt]:
        """Label clips as one stream and write them, one receipt for each; never raises for a bad shard, its receipts say why."""
        return label_stream(
            self._store,
            clips,
            prepare=lambda clip: None,
            predict=lambda frames, _: self._predict(frames),
            begin=begin,
            write=self._write,
            threads=self._threads,
        )

    def _predict(self, frames: Sequence[Frame]) -> list[FrameLabels]:
        return list(run_line(self._line, bank_of(self._line, self._models), frames))

    def _write(self, clip: Clip, labels: Sequence[LineLabels], errors: Mapping[int, str], seconds: Mapping[str, float]) -> str:
        where = self._line.line.ref, self._line.models, clip.shard_id, clip.start, clip.stop
        return self._store.line_predictions.write(*where, labels, errors, seconds)
