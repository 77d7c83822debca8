"""Trunks that micro-models start from and keep most of: each is one object, named after what is in it."""

import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import safetensors.torch
import torch

from training.errors import AlreadyExists, CorruptModel, MissingObject, UnknownModel
from training.store.objects import ObjectStore
from training.store.weights import content_hash

__all__ = ["Base", "Bases"]

_HASH_DIGITS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A trunk as it was before a fit: tensors on the CPU, by their names in it ('stages.0.0.weight').

    name: '<backbone>-<hash>' of the names, types, shapes and values of the tensors; safe in a path. Equal names, equal tensors.
    """

    name: str
    tensors: Mapping[str, torch.Tensor]

    @classmethod
    def of(cls, backbone: str, tensors: Mapping[str, torch.Tensor]) -> "Base":
        """The tensors, which must not change from now on, with their name."""
        return cls(name=_name(backbone, safetensors.torch.save(dict(tensors))), tensors=tensors)


class Bases:
    """The bases of one store; safe to use from many threads.

    The last one written or read stays in memory, since who publishes or loads one micro-model of it does so with many.
    """

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self._reading = threading.Lock()
        self._there: set[str] = set()
        self._last: Base | None = None

    def add(self, base: Base) -> None:
        """Write it unless it is there; the store is asked once for each, whoever comes first wins with the same bytes.

        Raises:
            StoreFull: no room; nothing is visible.
        """
        if not self._is_there(base.name):
            with suppress(AlreadyExists):
                self._objects.create(_key(base.name), safetensors.torch.save(dict(base.tensors)))
        self._keep(base)

    def check(self, name: str) -> None:
        """Raises UnknownModel: there is no such base; the store is asked once for each."""
        if not self._is_there(name):
            raise self._missing(name)

    def load(self, name: str) -> Base:
        """Read it, unless it was the last one; however many want it at once, it is read once.

        Raises:
            UnknownModel: there is none.
            CorruptModel: its tensors are not those that it is named after.
        """
        with self._reading:
            last = self._last
            if last is not None and last.name == name:
                return last
            try:
                file = self._objects.read(_key(name))
            except MissingObject as error:
                raise self._missing(name) from error
            base = _read(file, name)
            self._keep(base)
            return base

    def _is_there(self, name: str) -> bool:
        if name not in self._there and self._objects.exists(_key(name)):
            self._there.add(name)
        return name in self._there

    def _missing(self, name: str) -> UnknownModel:
        return UnknownModel(f"backbone {name}: not in {self._objects.url}, needed {_key(name)}")

    def _keep(self, base: Base) -> None:
        self._there.add(base.name)
        self._last = base


def _read(file: bytes, name: str) -> Base:
    found = _name(name.rpartition("-")[0], file)
    if found != name:
        raise CorruptModel(f"backbone {name}: its tensors are those of {found}, needed them unchanged")
    return Base(name=name, tensors=safetensors.torch.load(file))


def _name(backbone: str, file: bytes) -> str:
    return f"{backbone}-{content_hash(file, f'backbone {backbone}')[:_HASH_DIGITS]}"


def _key(name: str) -> str:
    return f"backbones/{name}.safetensors"
