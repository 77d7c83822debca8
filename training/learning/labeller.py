"""Labelling clips with the micro-models of their shards."""

from collections.abc import Iterator, Sequence

import torch

from training.data.annotations import FrameLabels
from training.data.frames import Frame
from training.learning.clip import Clip, ClipReceipt
from training.learning.label_stream import Begin, StreamThreads, label_stream
from training.models.bank import Bank
from training.models.cache import ModelCache
from training.models.micro_model import MicroModel
from training.models.precision import Precision
from training.store.store import Store

__all__ = ["Labeller"]


class Labeller:
    """Decodes clips, runs their micro-models and writes predictions; keeps models ready between clips.

    cache_mib: memory for weights; little, as clips of one micro-model come together.
    threads: that decode.
    precision: of the micro-models' trunks.
    """

    def __init__(
        self,
        store: Store,
        *,
        cache_mib: int = 64,
        device: torch.device | str = "cpu",
        threads: int = 1,
        precision: Precision = Precision.auto,
    ) -> None:
        self._store = store
        self._device = torch.device(device)
        self._threads = StreamThreads(threads)
        self._models = ModelCache(store.registry, cache_mib * 2**20, self._device, precision=precision)

    def label(self, clips: Sequence[Clip], *, begin: Begin = lambda clip: None) -> Iterator[ClipReceipt]:
        """Label clips as one stream and write them, one receipt for each; never raises for a bad shard, its receipts say why.

        Args:
            begin: called in another thread before anything is done for a clip.
        """
        return label_stream(self._store, clips, prepare=self._model, predict=self._predict, begin=begin, threads=self._threads)

    def _model(self, clip: Clip) -> MicroModel:
        return self._models.get(self._store.registry.card(clip.shard_id, clip.ontology, clip.generation))

    def _predict(self, frames: list[Frame], models: list[MicroModel]) -> list[FrameLabels]:
        some = list({id(model): model for model in models}.values())
        place = {id(model): number for number, model in enumerate(some)}
        return Bank(some, self._device).predict(frames, [place[id(model)] for model in models])
