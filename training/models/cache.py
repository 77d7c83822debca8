"""Micro-models kept ready in memory, bounded in bytes, each loaded once however many ask for it at the same time."""

import threading
from collections import OrderedDict
from concurrent.futures import Future

from training.models.micro_model import MicroModel
from training.store.card import Card
from training.store.registry import Registry

__all__ = ["ModelCache"]

Key = tuple[str, str, int]


class ModelCache:
    """Least recently used micro-models go when the bytes are spent; the one just asked for always stays.

    max_bytes: of parameters and buffers.
    """

    def __init__(self, registry: Registry, max_bytes: int) -> None:
        self._registry = registry
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._ready: OrderedDict[Key, MicroModel] = OrderedDict()
        self._loading: dict[Key, Future[MicroModel]] = {}
        self.num_bytes = 0

    def get(self, card: Card) -> MicroModel:
        """The micro-model of a published card; safe to call from many threads.

        Raises:
            UnknownModel, CorruptModel: the registry has no usable weights for it.
        """
        key = (card.shard_id, card.ontology, card.generation)
        with self._lock:
            if key in self._ready:
                self._ready.move_to_end(key)
                return self._ready[key]
            waiting = self._loading.get(key)
            if waiting is None:
                mine: Future[MicroModel] = Future()
                self._loading[key] = mine
        if waiting is not None:
            return waiting.result()
        try:
            model = MicroModel.restore(card.shard_id, card.generation, card.network, self._registry.load(card))
        except BaseException as error:
            with self._lock:
                del self._loading[key]
            mine.set_exception(error)
            raise
        self._keep(key, model)
        mine.set_result(model)
        return model

    def _keep(self, key: Key, model: MicroModel) -> None:
        with self._lock:
            del self._loading[key]
            self._ready[key] = model
            self.num_bytes += model.num_bytes
            while self.num_bytes > self._max_bytes and len(self._ready) > 1:
                _, oldest = self._ready.popitem(last=False)
                self.num_bytes -= oldest.num_bytes
