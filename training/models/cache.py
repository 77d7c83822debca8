"""Micro-models kept ready in memory, bounded in bytes, each loaded once however many ask for it at the same time."""

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch

from training.errors import CorruptModel, MicroModelError
from training.models.bases import own_norms, with_base
from training.models.micro_model import MicroModel
from training.models.mixed_precision import trunk_dtype
from training.models.networks import config_of
from training.models.precision import Precision
from training.models.shared_trunk import SharedTrunk
from training.store.ahead import ahead
from training.store.card import Card
from training.store.registry import Registry

__all__ = ["CacheCounts", "ModelCache"]

Key = tuple[str, str, int]
TrunkKey = tuple[str, bool]
K = TypeVar("K")
V = TypeVar("V")


@dataclass(slots=True)
class CacheCounts:
    """Since the cache was made. misses: whoever waits for a load of another is one too."""

    hits: int = 0
    misses: int = 0
    loads: int = 0
    evictions: int = 0


class ModelCache:
    """Ready to answer on the device; safe to use from many threads.

    Least recently used micro-models go when the bytes are spent, and a trunk goes with the last of those that share it; the
    micro-model just asked for always stays.

    max_bytes: of parameters and buffers, those that are shared counted once.
    precision: of trunks.
    """

    def __init__(
        self, registry: Registry, max_bytes: int, device: torch.device | str = "cpu", *, precision: Precision = Precision.auto
    ) -> None:
        self.device = torch.device(device)
        self._precision = precision
        self.num_bytes = 0
        self.counts = CacheCounts()
        self._registry = registry
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._ready: OrderedDict[Key, tuple[MicroModel, int, TrunkKey | None]] = OrderedDict()
        self._trunks: dict[TrunkKey, SharedTrunk] = {}
        self._users: Counter[TrunkKey] = Counter()
        self._loading: _Once[Key, MicroModel] = _Once()
        self._loading_trunk: _Once[TrunkKey, SharedTrunk] = _Once()

    def get(self, card: Card) -> MicroModel:
        """The micro-model of a published card.

        Raises:
            UnknownModel, CorruptModel: the registry has no usable weights for it, or for the trunk that it shares.
        """
        key = _key(card)
        found = self._found(key)
        with self._lock:
            self.counts.hits += found is not None
            self.counts.misses += found is None
        return found or self._loading.call(key, lambda: self._found(key) or self._load(key, card))

    @property
    def num_models(self) -> int:
        return len(self._ready)

    def prefetch(self, cards: Iterable[Card]) -> dict[Key, MicroModelError]:
        """Load those that are not there, several at a time, so that whoever asks for them finds them ready.

        The first of them only, as far as their own tensors fit beside those of these that are ready: more would push each other
        out. Returns what went wrong, by shard, ontology and generation.
        """

        def tried(card: Card) -> tuple[Key, MicroModelError | None]:
            try:
                self.get(card)
            except MicroModelError as error:
                return _key(card), error
            return _key(card), None

        return {key: error for key, error in ahead(tried, self._missing(cards)) if error is not None}

    def _missing(self, cards: Iterable[Card]) -> list[Card]:
        """As many as fit, and one at least."""
        missing: list[Card] = []
        with self._lock:
            free = self._max_bytes - sum(trunk.num_bytes for trunk in self._trunks.values())
        for card in cards:
            ready = self._found(_key(card)) is not None
            free -= card.num_bytes
            if not ready and (free >= 0 or not missing):
                missing.append(card)
        return missing

    def _found(self, key: Key) -> MicroModel | None:
        with self._lock:
            if key not in self._ready:
                return None
            self._ready.move_to_end(key)
            return self._ready[key][0]

    def _load(self, key: Key, card: Card) -> MicroModel:
        tensors, shared, taken = self._registry.load(card), None, None
        if card.base is not None:
            config = config_of(card.network)
            norms = own_norms(config, tensors)
            if norms is None:
                tensors = with_base(config, tensors, self._registry.bases.load(card.base))
            else:
                taken = card.base, norms
                shared = self._take(taken, config.backbone)
        try:
            model = MicroModel.restore(
                card.shard_id,
                card.generation,
                card.network,
                tensors,
                shared=shared,
                device=self.device,
                precision=self._precision,
            )
        except BaseException:
            with self._lock:
                self._leave(taken)
            raise
        self._keep(key, model, taken)
        return model

    def _keep(self, key: Key, model: MicroModel, taken: TrunkKey | None) -> None:
        num_bytes = model.num_bytes
        with self._lock:
            self._ready[key] = model, num_bytes, taken
            self.counts.loads += 1
            self.num_bytes += num_bytes
            while self.num_bytes > self._max_bytes and len(self._ready) > 1:
                _, (_, oldest_bytes, its_trunk) = self._ready.popitem(last=False)
                self.num_bytes -= oldest_bytes
                self.counts.evictions += 1
                self._leave(its_trunk)

    def _take(self, key: TrunkKey, backbone: str) -> SharedTrunk:
        """The trunk for one more user, which has to leave it again."""
        with self._lock:
            self._users[key] += 1
        try:
            return self._trunks.get(key) or self._loading_trunk.call(key, lambda: self._load_trunk(key, backbone))
        except BaseException:
            with self._lock:
                self._leave(key)
            raise

    def _load_trunk(self, key: TrunkKey, backbone: str) -> SharedTrunk:
        if key in self._trunks:
            return self._trunks[key]
        name, norms = key
        base = self._registry.bases.load(name)
        try:
            dtype = trunk_dtype(self._precision, self.device)
            shared = SharedTrunk(backbone, base.tensors, own_norms=norms, device=self.device, dtype=dtype)
        except CorruptModel as error:
            raise CorruptModel(f"backbone {name}: {error}") from error
        with self._lock:
            self._trunks[key] = shared
            self.num_bytes += shared.num_bytes
        return shared

    def _leave(self, key: TrunkKey | None) -> None:
        """The lock is held."""
        if key is None:
            return
        self._users[key] -= 1
        if not self._users[key] and key in self._trunks:
            self.num_bytes -= self._trunks.pop(key).num_bytes


def _key(card: Card) -> Key:
    return card.shard_id, card.ontology, card.generation


class _Once(Generic[K, V]):
    """One call at a time for each key: whoever wants the same meanwhile waits, and gets what comes of it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[K, Future[V]] = {}

    def call(self, key: K, find: Callable[[], V]) -> V:
        """What `find` returns or raises."""
        with self._lock:
            waiting = self._under_way.get(key)
            if waiting is None:
                mine: Future[V] = Future()
                self._under_way[key] = mine
        if waiting is not None:
            return waiting.result()
        try:
            found = find()
        except BaseException as error:
            self._over(key)
            mine.set_exception(error)
            raise
        self._over(key)
        mine.set_result(found)
        return found

    def _over(self, key: K) -> None:
        with self._lock:
            del self._under_way[key]
