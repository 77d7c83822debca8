"""Masks as pictures whose pixels are object numbers: DAVIS (8 bits, a palette) and MOTS (16 bits, 1000 * class + instance).

Annotations/<shard_id>/<frame>.png and Objects/<shard_id>.json, which says of every number its class and track: DAVIS itself
has no place for them, MOTS none for names. In MOTS folders stands labels.txt with the classes.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.data.annotations import Annotation, FrameLabels
from training.data.formats.frame_names import files_of_frames, frame_namer
from training.data.formats.records import Found, Part, ReadLabels, Source
from training.data.formats.texts import read_text
from training.data.formats.vocabulary import first_ontology, write_vocabulary
from training.data.ontology import Ontology
from training.data.rle import decode, encode, mask_box
from training.errors import BadInput

__all__ = ["check_davis", "check_mots", "read_davis", "read_mots", "write_davis", "write_mots"]

_DAVIS_MOST = 254  # 255 is 'void'
_MOTS_CLASS = 1000
_MOTS_IGNORED = 10000


class _Key(NamedTuple):
    """What one number stands for; `place` tells untracked objects of one class in one frame apart."""

    class_name: str
    track_id: str | None
    place: int


def check_davis(part: Part) -> None:
    """Raises BadInput for more than 254 different objects in one shard."""
    _Numbers("davis", part.ontology, _davis_number).take(part)


def check_mots(part: Part) -> None:
    """Raises BadInput for more than 999 objects of a class, or more than 64 classes, the tenth aside (MOTS ignores it)."""
    _Numbers("mots", part.ontology, _mots_number).take(part)


def write_davis(out: Path, parts: Iterable[Part]) -> int:
    """Write a folder and return how many masks it holds; one shard is in memory at a time, one mask decoded."""
    return _write("davis", out, parts, _davis_number)


def write_mots(out: Path, parts: Iterable[Part]) -> int:
    """Write a folder and return how many masks it holds; one shard is in memory at a time, one mask decoded."""
    return _write("mots", out, parts, _mots_number)


def read_davis(source: Source) -> ReadLabels:
    """Read index pictures. Without Objects/, a number is a track, of the only class there is ('object').

    Raises:
        BadInput: a picture that cannot be read or is not of the shard's size; several classes and no Objects/.
    """

    def key(number: int, classes: list[str]) -> _Key | None:
        if len(classes) > 1:
            raise BadInput(f"{source.place}: object {number} of {len(classes)} classes and no Objects/, needed one class")
        return None if number > _DAVIS_MOST else _Key(classes[0] if classes else "object", str(number), 0)

    return _read(source, key)


def read_mots(source: Source) -> ReadLabels:
    """Read index pictures; 1000 * class + instance, instance being the track. Pixels of 10000 ('ignore') are no object.

    Raises:
        BadInput: a picture that cannot be read or is not of the shard's size; a class without a name.
    """

    def key(number: int, classes: list[str]) -> _Key | None:
        if number == _MOTS_IGNORED:
            return None
        class_number, instance = divmod(number, _MOTS_CLASS)
        if not 1 <= class_number <= len(classes):
            raise BadInput(
                f"{source.place}: number {number}, needed 1000 * class + instance of {len(classes)} classes in labels.txt"
            )
        return _Key(classes[class_number - 1], str(instance), 0)

    return _read(source, key)


Number = Callable[[_Key, Ontology, "Counter[str]"], int]


def _davis_number(key: _Key, ontology: Ontology, taken: "Counter[str]") -> int:
    number = sum(taken.values()) + 1
    if number > _DAVIS_MOST:
        raise BadInput(f"davis: cannot hold more than {_DAVIS_MOST} objects in one sequence")
    return number


def _mots_number(key: _Key, ontology: Ontology, taken: "Counter[str]") -> int:
    class_number, instance = ontology.classes.index(key.class_name) + 1, taken[key.class_name] + 1
    if instance >= _MOTS_CLASS or class_number > 64 or class_number * _MOTS_CLASS == _MOTS_IGNORED:
        raise BadInput(
            f"mots: cannot hold object {instance} of class {class_number} ({key.class_name}), it holds 999 of 1..64 but 10"
        )
    return class_number * _MOTS_CLASS + instance


class _Numbers:
    """Numbers the objects of one shard: the same track the same number, untracked ones by their place in the frame."""

    def __init__(self, name: str, ontology: Ontology, number: Number) -> None:
        self._name, self._ontology, self._number = name, ontology, number
        self._taken: Counter[str] = Counter()
        self.known: dict[_Key, int] = {}

    def take(self, part: Part) -> None:
        for frame in part.labels:
            try:
                self.of_frame(frame)
            except BadInput as error:
                raise BadInput(f"{error} ({part.shard.shard_id} frame {frame.frame_index})") from error

    def of_frame(self, frame: FrameLabels) -> list[int]:
        places: Counter[tuple[str, str | None]] = Counter()
        numbers = []
        for annotation in frame.annotations:
            named = annotation.class_name, annotation.track_id
            key = _Key(*named, places[named])
            places[named] += 1
            if key not in self.known:
                self.known[key] = self._number(key, self._ontology, self._taken)
                self._taken[key.class_name] += 1
            numbers.append(self.known[key])
        return numbers


def _write(name: str, out: Path, parts: Iterable[Part], number: Number) -> int:
    ontology, rest = first_ontology(name, parts)
    out.joinpath("Objects").mkdir(parents=True)
    write_vocabulary(out, ontology)
    pictures = out / ("Annotations" if name == "davis" else "instances")
    pictures.mkdir()
    if name == "mots":
        pictures.joinpath("labels.txt").write_text("".join(f"{one}\n" for one in ontology.classes), encoding="utf-8")
    num_masks = 0
    for shard, _, labels in rest:
        folder = pictures / shard.shard_id
        folder.mkdir()
        name_of = frame_namer(shard) if shard.kind == "images" else "{:05d}".format
        numbers = _Numbers(name, ontology, number)
        for frame in labels:
            index_HW = np.zeros((shard.height, shard.width), np.uint8 if name == "davis" else np.uint16)
            for annotation, value in zip(frame.annotations, numbers.of_frame(frame), strict=True):
                assert annotation.rle_counts is not None
                index_HW[decode(annotation.rle_counts, shard.height, shard.width)] = value
            _picture(index_HW).save(folder / f"{name_of(frame.frame_index)}.png")
            num_masks += len(frame.annotations)
        _write_objects(out / "Objects" / f"{shard.shard_id}.json", numbers.known)
    return num_masks


def _picture(index_HW: NDArray[np.uint8] | NDArray[np.uint16]) -> Image.Image:
    picture = Image.fromarray(index_HW)
    if index_HW.dtype == np.uint8:
        picture.putpalette(_palette())
    return picture


def _palette() -> bytes:
    """Pascal VOC's colours: the bits of the number, spread over red, green and blue from the highest down."""
    colours = bytearray()
    for number in range(256):
        for channel in range(3):
            colours.append(sum((number >> (3 * bit + channel) & 1) << (7 - bit) for bit in range(3)))
    return bytes(colours)


def _write_objects(path: Path, known: Mapping[_Key, int]) -> None:
    rows = {str(number): {"class": key.class_name, "track_id": key.track_id, "place": key.place} for key, number in known.items()}
    path.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _read(source: Source, key_of: Callable[[int, list[str]], _Key | None]) -> ReadLabels:
    found = Found(source)
    labels = next(
        (folder / "labels.txt" for folder in (source.place, source.place.parent) if (folder / "labels.txt").is_file()), None
    )
    if source.vocabulary is None and labels is not None:
        found.classes = read_text(labels).split("\n")[:-1]
    objects = _read_objects(source.root / "Objects" / f"{source.shard.shard_id}.json")
    for frame_index, path in files_of_frames(source.place, ".png", source.shard):
        found.look(frame_index, str(path))
        index_HW = _index(path, source)
        said = []
        for number in (int(value) for value in np.unique(index_HW) if value):
            key = objects.get(number) if objects is not None else key_of(number, found.classes)
            if key is None and objects is not None:
                raise BadInput(f"{path}: object {number}, needed one of those in Objects/{source.shard.shard_id}.json")
            if key is not None:
                said.append((key, _annotation(key, index_HW == number)))
        for _, annotation in said:
            found.say(frame_index, annotation, str(path))
    return found.result()


def _annotation(key: _Key, mask_HW: NDArray[np.bool_]) -> Annotation:
    counts = encode(mask_HW)
    box = mask_box(counts, *mask_HW.shape)
    return Annotation(class_name=key.class_name, bbox_xyxy=box, rle_counts=counts, track_id=key.track_id, provenance="imported")


def _index(path: Path, source: Source) -> NDArray[np.int64]:
    try:
        with Image.open(path) as picture:
            if picture.mode not in ("P", "L", "I", "I;16", "1"):
                raise BadInput(f"{path}: a picture of mode {picture.mode}, needed numbers of objects (a palette, 8 or 16 bits)")
            index_HW = np.asarray(picture).astype(np.int64)
    except (OSError, Image.DecompressionBombError) as error:
        raise BadInput(f"{path}: not a picture ({error}), needed an index mask") from error
    needed = source.shard.height, source.shard.width
    if index_HW.shape != needed:
        raise BadInput(
            f"{path}: {index_HW.shape[1]}x{index_HW.shape[0]}, needed {needed[1]}x{needed[0]} like {source.shard.shard_id}"
        )
    return index_HW


def _read_objects(path: Path) -> dict[int, _Key] | None:
    if not path.is_file():
        return None
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return {int(number): _Key(row["class"], row["track_id"], row["place"]) for number, row in rows.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{path}: {error}, needed the class and track of every number") from error
