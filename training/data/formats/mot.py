"""MOT Challenge: one CSV a sequence, one box of one track a line.

<shard_id>/gt/gt.txt with `frame, id, left, top, width, height, considered, class, visibility`, frames and classes from 1;
<shard_id>/gt/labels.txt with the names, <shard_id>/seqinfo.ini. An id of -1 is an object without a track; `considered` 0 is
our `ambiguous`. Coordinates are 0-based, as CVAT and datumaro write them.
"""

import configparser
import csv
import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from training.data.annotations import Annotation
from training.data.formats.looked_at import frames_from_text, text_of_frames
from training.data.formats.records import Found, Part, ReadLabels, Source
from training.data.formats.texts import read_text
from training.data.formats.vocabulary import first_ontology, write_vocabulary
from training.data.shards import Shard
from training.errors import BadAnnotation, BadInput, UnknownClass

__all__ = ["check_mot", "read_mot", "write_mot"]

_TRACK = re.compile(r"0|[1-9]\d{0,17}")


def check_mot(part: Part) -> None:
    """Raises BadInput for a track id that is no plain whole number."""
    for frame in part.labels:
        for annotation in frame.annotations:
            if annotation.track_id is not None and not _TRACK.fullmatch(annotation.track_id):
                where = f"{part.shard.shard_id} frame {frame.frame_index}"
                raise BadInput(f"mot: cannot hold track {annotation.track_id!r} ({where}), it holds whole numbers from 0")


def write_mot(out: Path, parts: Iterable[Part]) -> int:
    """Write a folder of sequences and return how many annotations it holds; row by row."""
    ontology, rest = first_ontology("mot", parts)
    out.mkdir()
    write_vocabulary(out, ontology)
    number = {name: index for index, name in enumerate(ontology.classes, 1)}
    num_annotations = 0
    for shard, _, labels in rest:
        folder = out / shard.shard_id / "gt"
        folder.mkdir(parents=True)
        folder.joinpath("labels.txt").write_text("".join(f"{name}\n" for name in ontology.classes), encoding="utf-8")
        looked_at: list[int] = []
        with folder.joinpath("gt.txt").open("w", encoding="utf-8", newline="") as stream:
            for frame in labels:
                looked_at.append(frame.frame_index)
                for annotation in frame.annotations:
                    stream.write(_row(frame.frame_index, annotation, number[annotation.class_name]))
                    num_annotations += 1
        folder.joinpath("looked_at.txt").write_text(text_of_frames(looked_at) + "\n", encoding="utf-8")
        _write_seqinfo(folder.parent / "seqinfo.ini", shard)
    return num_annotations


def read_mot(source: Source) -> ReadLabels:
    """Read gt.txt. Frames without a box count as looked at only in files this software wrote.

    Raises:
        BadInput: a file that is not text, or seqinfo.ini is damaged or says another size than the shard's.
        BadAnnotation: a row that is not of numbers, or a frame that is no whole number; names file and line.
        UnknownClass, UnknownFrame: a number without a name, a frame the shard does not have.
    """
    found = Found(source)
    _check_seqinfo(found)
    if source.vocabulary is None:
        found.classes = _names(source.place.with_name("labels.txt"))
    for index in _looked_at(source):
        found.look(index, str(source.place))
    for line, row in _rows(source.place):
        where = f"{source.place} line {line}"
        frame_index, annotation = _annotation(row, found, where)
        found.say(frame_index, annotation, where)
    return found.result()


def _row(frame_index: int, annotation: Annotation, number: int) -> str:
    assert annotation.bbox_xyxy is not None
    x1, y1, x2, y2 = annotation.bbox_xyxy
    track = annotation.track_id if annotation.track_id is not None else "-1"
    box = ",".join(repr(value) for value in (x1, y1, x2 - x1, y2 - y1))
    return f"{frame_index + 1},{track},{box},{int(not annotation.ambiguous)},{number},1\n"


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(read_text(path)))
    try:
        yield from ((line, row) for line, row in enumerate(reader, 1) if row)
    except csv.Error as error:
        raise BadInput(f"{path} line {reader.line_num}: {error}, needed numbers between commas") from error


def _annotation(row: list[str], found: Found, where: str) -> tuple[int, Annotation]:
    try:
        frame, track, x, y, w, h, considered, *rest = (float(value) for value in row)
    except ValueError as error:
        raise BadAnnotation(f"{where}: {','.join(row)[:60]!r}, needed frame, id, left, top, width, height, considered") from error
    if not frame.is_integer():
        raise BadAnnotation(f"{where}: frame {frame:g}, needed a whole number from 1")
    number = rest[0] if rest else 1.0
    if not found.classes and found.source.vocabulary is None and number in (-1.0, 1.0):
        found.classes = ["object"]
    number = 1.0 if number == -1 and len(found.classes) == 1 else number
    if number not in range(1, len(found.classes) + 1):
        raise UnknownClass(f"{where}: class {number:g}, needed 1..{len(found.classes)} (named in labels.txt beside it)")
    return int(frame) - 1, Annotation(
        class_name=found.classes[int(number) - 1],
        bbox_xyxy=found.box(x, y, x + w, y + h, where),
        track_id=None if track < 0 else row[1].strip().removesuffix(".0"),
        ambiguous=considered == 0,
        provenance="imported",
    )


def _write_seqinfo(path: Path, shard: Shard) -> None:
    size = f"imWidth={shard.width}\nimHeight={shard.height}\nimExt=.jpg\n"
    length = f"frameRate={round(shard.fps or 0)}\nseqLength={shard.num_frames}\n"  # whole numbers: readers insist
    path.write_text(f"[Sequence]\nname={shard.shard_id}\nimDir=img1\n{length}{size}", encoding="utf-8")


def _check_seqinfo(found: Found) -> None:
    """Raises BadInput when the seqinfo.ini beside gt.txt or above its folder is damaged or is about pictures of another size."""
    folder = found.source.place.parent
    path = next((one / "seqinfo.ini" for one in (folder, folder.parent) if (one / "seqinfo.ini").is_file()), None)
    if path is None:
        return
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(read_text(path))
    except configparser.Error as error:
        raise BadInput(f"{path}: {' '.join(str(error).split())}, needed MOT's [Sequence]") from error
    width, height = (parser.get("Sequence", side, fallback=None) for side in ("imWidth", "imHeight"))
    found.size(width, height, str(path))


def _looked_at(source: Source) -> list[int]:
    path = source.place.with_name("looked_at.txt")
    if not path.is_file():
        return []
    return frames_from_text(read_text(path), source.shard.num_frames, str(path))


def _names(path: Path) -> list[str]:
    return read_text(path).splitlines() if path.is_file() else []
