"""A micro-model's tensors as one safetensors file that carries its own card."""

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import safetensors
import safetensors.torch
import torch

from training.errors import CorruptModel
from training.store.card import Card
from training.store.documents import from_json_bytes, to_json_bytes

__all__ = ["card_inside", "content_hash", "pack", "unpack"]


def pack(card: Card, tensors: Mapping[str, torch.Tensor]) -> tuple[Card, bytes]:
    """The card with weights_sha256 and num_bytes filled, and the file with that card in its metadata.

    weights_sha256 covers names, types, shapes and values, and not the metadata, which holds the hash itself.
    """
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    header, data = _split(safetensors.torch.save(plain), card.ref)
    card = replace(card, weights_sha256=f"sha256:{_digest(header, data)}", num_bytes=len(data))
    text = to_json_bytes(card.to_json(), card.ref).decode()
    return card, safetensors.torch.save(plain, metadata={"card": text})


def unpack(file: bytes, card: Card, *, known: bool = False) -> dict[str, torch.Tensor]:
    """Tensors of a file, checked against its card.

    Args:
        known: it was checked before, and hashing it again, half of the time that a load takes, is left out.
    Raises:
        CorruptModel: the file is damaged or belongs to another card.
    """
    where = f"{card.ref} {card.ontology}"
    if not known and (found := f"sha256:{content_hash(file, where)}") != card.weights_sha256:
        raise CorruptModel(f"{where}: weights hash to {found}, needed {card.weights_sha256}")
    try:
        tensors: dict[str, torch.Tensor] = safetensors.torch.load(file)
    except safetensors.SafetensorError as error:
        raise CorruptModel(f"{where}: {len(file)} bytes that are no safetensors file ({error})") from error
    return tensors


def content_hash(file: bytes, where: str) -> str:
    """Hex digits of a hash over the names, types, shapes and values in a safetensors file, whatever its metadata says.

    Raises:
        CorruptModel: it is no such file; begins with `where`.
    """
    return _digest(*_split(file, where))


def card_inside(file: bytes, where: str) -> Card:
    """The card that `pack` put into the file's metadata.

    Raises:
        CorruptModel: there is none.
    """
    try:
        text = _header(file)["__metadata__"]["card"]
    except (KeyError, TypeError, ValueError, struct.error) as error:
        raise CorruptModel(f"{where}: no card in the metadata ({error!r}), needed a file this software wrote") from error
    return Card.from_json(from_json_bytes(text.encode(), where))


def _header(file: bytes) -> dict[str, Any]:
    (length,) = struct.unpack_from("<Q", file)
    header: dict[str, Any] = json.loads(file[8 : 8 + length])
    return header


def _split(file: bytes, where: str) -> tuple[dict[str, Any], memoryview]:
    try:
        header = _header(file)
        (length,) = struct.unpack_from("<Q", file)
    except (ValueError, struct.error) as error:
        raise CorruptModel(f"{where}: {len(file)} bytes that are no safetensors file ({error})") from error
    return {name: entry for name, entry in header.items() if name != "__metadata__"}, memoryview(file)[8 + length :]


def _digest(header: Mapping[str, Any], data: memoryview) -> str:
    digest = hashlib.sha256(json.dumps(header, sort_keys=True, separators=(",", ":")).encode())
    digest.update(data)
    return digest.hexdigest()
