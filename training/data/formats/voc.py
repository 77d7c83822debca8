"""Pascal VOC: one XML file a picture with boxes; `difficult` is our `ambiguous`.

labelmap.txt, ImageSets/Main/default.txt, Annotations/<shard_id>/<picture>.xml. Coordinates are 0-based, as LabelImg, CVAT and
datumaro write them, and not rounded.
"""

from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

from training.data.annotations import Annotation, FrameLabels
from training.data.formats.frame_names import files_of_frames, frame_namer
from training.data.formats.records import Found, Part, ReadLabels, Source
from training.data.formats.texts import read_xml
from training.data.formats.vocabulary import first_ontology, write_vocabulary
from training.data.shards import Shard
from training.errors import BadAnnotation

__all__ = ["read_voc", "write_voc"]

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def write_voc(out: Path, parts: Iterable[Part]) -> int:
    """Write a folder and return how many annotations it holds; one shard is in memory at a time."""
    ontology, rest = first_ontology("voc", parts)
    out.joinpath("ImageSets", "Main").mkdir(parents=True)
    write_vocabulary(out, ontology)
    names = "".join(f"{name}:::\n" for name in ontology.classes)
    out.joinpath("labelmap.txt").write_text(f"# label:color_rgb:parts:actions\nbackground:::\n{names}", encoding="utf-8")
    num_annotations = 0
    with out.joinpath("ImageSets", "Main", "default.txt").open("w", encoding="utf-8") as pictures:
        for shard, _, labels in rest:
            folder = out / "Annotations" / shard.shard_id
            folder.mkdir(parents=True)
            name_of = frame_namer(shard)
            for frame in labels:
                name = name_of(frame.frame_index)
                ElementTree.ElementTree(_element(frame, shard, name)).write(folder / f"{name}.xml", encoding="utf-8")
                pictures.write(f"{shard.shard_id}/{name}\n")
                num_annotations += len(frame.annotations)
    return num_annotations


def read_voc(source: Source) -> ReadLabels:
    """Read the labels of one shard from a folder of XML files.

    Raises:
        BadInput: a file that is not XML, or whose picture is not of the shard's size.
        BadAnnotation: an object without name or box.
    """
    found = Found(source)
    for frame_index, path in files_of_frames(source.place, ".xml", source.shard):
        root = read_xml(path, "Pascal VOC")
        found.look(frame_index, str(path))
        found.size(root.findtext("size/width"), root.findtext("size/height"), str(path))
        for position, element in enumerate(root.findall("object"), 1):
            where = f"{path} object {position}"
            found.say(frame_index, _annotation(element, found, where), where)
    return found.result()


def _element(frame: FrameLabels, shard: Shard, name: str) -> ElementTree.Element:
    root = ElementTree.Element("annotation")
    _add(root, "folder", shard.shard_id)
    _add(root, "filename", f"{shard.shard_id}/{name}.jpg")
    size = ElementTree.SubElement(root, "size")
    for key, value in (("width", shard.width), ("height", shard.height), ("depth", 3)):
        _add(size, key, str(value))
    for annotation in frame.annotations:
        assert annotation.bbox_xyxy is not None
        element = ElementTree.SubElement(root, "object")
        _add(element, "name", annotation.class_name)
        _add(element, "difficult", "1" if annotation.ambiguous else "0")
        box = ElementTree.SubElement(element, "bndbox")
        for corner, edge in zip(_CORNERS, annotation.bbox_xyxy, strict=True):
            _add(box, corner, repr(edge))
    return root


def _add(parent: ElementTree.Element, tag: str, text: str) -> None:
    ElementTree.SubElement(parent, tag).text = text


def _annotation(element: ElementTree.Element, found: Found, where: str) -> Annotation:
    said = element.findtext("name") or ""
    name = said if said in found.classes else said.strip()
    try:
        x1, y1, x2, y2 = (float(element.findtext(f"bndbox/{corner}") or "") for corner in _CORNERS)
    except ValueError as error:
        raise BadAnnotation(f"{where}: no bndbox of four numbers") from error
    if not name:
        raise BadAnnotation(f"{where}: no name, needed its class")
    ambiguous = (element.findtext("difficult") or "0").strip() not in ("0", "False", "false", "")
    return Annotation(class_name=name, bbox_xyxy=found.box(x1, y1, x2, y2, where), ambiguous=ambiguous, provenance="imported")
