"""Labels in, in any format: which file is about which shard, and what it says."""

from pathlib import Path

from training.data.formats.datumaro_library import read_with_datumaro
from training.data.formats.records import ReadLabels, Source
from training.data.formats.single_files import coco_shards
from training.data.formats.table import FORMATS, Format
from training.data.formats.vocabulary import read_vocabulary
from training.data.ontology import Ontology
from training.data.shards import Shard
from training.errors import BadInput

__all__ = ["find_source", "read_labels"]


def find_source(name: str, path: Path, shard: Shard, *, alone: bool, vocabulary: Ontology | None = None) -> Source | None:
    """Where a file or folder of labels is about this shard; None if it does not mention it.

    Args:
        alone: only this shard is asked for, so that a place which names no shard is taken to be about it.
        vocabulary: what the names in it belong to; by default the ontology exported with the labels, if there is one.
    Raises:
        BadInput: nothing is at `path`, the format cannot be read, or scenes are asked of one that has none.
    """
    if not path.exists():
        raise BadInput(f"{path}: nothing there, needed labels in {name}")
    known = vocabulary or read_vocabulary(path)
    form = FORMATS.get(name)
    if form is None:
        return Source(path, path, shard, known)
    if form.reads is None:
        raise BadInput(f"{name}: is only written, needed one of {', '.join(one for one in FORMATS if FORMATS[one].reads)}")
    if shard.scene is not None and "scenes" not in form.holds:
        raise BadInput(f"{shard.shard_id}: a scene, which {name} cannot hold; needed coco")
    for template in form.places:
        place = path if template == "." else path / template.format(shard_id=shard.shard_id)
        if _holds_files(place, form) and (alone or "{shard_id}" in template or _names(name, place, shard.shard_id)):
            return Source(path, place, shard, known)
    return None


def read_labels(name: str, source: Source) -> ReadLabels:
    """What a source says about its shard. For names that are not in FORMATS datumaro is asked.

    Raises:
        BadInput and its kinds: the labels cannot be used; nothing was changed. Every message names a file or folder of
            the source. MissingExtra: datumaro is needed.
    """
    form = FORMATS.get(name)
    if form is None:
        return read_with_datumaro(name, source)
    assert form.reads is not None
    try:
        return form.reads(source)
    except BadInput as error:
        if str(source.root) in str(error):
            raise
        raise type(error)(f"{source.place}: {error}") from error


def _holds_files(place: Path, form: Format) -> bool:
    if "." in Path(form.places[0]).name:  # one file a shard
        return place.is_file()
    return place.is_dir() and any(place.glob(f"*{form.suffix}"))


def _names(name: str, place: Path, shard_id: str) -> bool:
    return name == "coco" and shard_id in coco_shards(place)
