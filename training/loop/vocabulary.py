"""Which of a detector's names mean which of an ontology's, and what neither knows of the other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from training.data.ontology import Ontology
from training.errors import UnknownClass

__all__ = ["Vocabulary", "translate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """classes: output of the detector -> class of the ontology. keypoints: for each of the ontology's, the detector's or None.

    unknown: classes and keypoints of the ontology that the detector cannot know.
    """

    classes: Mapping[int, str]
    keypoints: tuple[int | None, ...]
    unknown: tuple[str, ...]


def translate(ontology: Ontology, categories: Sequence[str], keypoints: Sequence[str], renamed: Mapping[str, str]) -> Vocabulary:
    """Match by name, whatever the case, spaces, '_' and '-'; `renamed` (detector's name -> ontology's) goes first.

    Raises:
        UnknownClass: not one class of the ontology is known; names some that are.
    """
    classes = {
        output: meant for output, name in enumerate(categories) if name and (meant := _meant(name, ontology.classes, renamed))
    }
    points: dict[str, int] = {}
    for output, name in enumerate(keypoints):
        if meant := _meant(name, ontology.keypoints, renamed):
            points.setdefault(meant, output)
    unknown = [name for name in ontology.classes if name not in classes.values()]
    if len(unknown) == len(ontology.classes):
        raise UnknownClass(
            f"{ontology.name}: the detector knows none of {', '.join(ontology.classes)}; it knows"
            f" {', '.join(filter(None, categories))}; needed --map KNOWN=CLASS"
        )
    unknown += [name for name in ontology.keypoints if name not in points]
    return Vocabulary(classes=classes, keypoints=tuple(map(points.get, ontology.keypoints)), unknown=tuple(unknown))


def _meant(name: str, wanted: Sequence[str], renamed: Mapping[str, str]) -> str | None:
    if renamed.get(name) in wanted:
        return renamed[name]
    if name in renamed:
        return None
    return next((one for one in wanted if _plain(one) == _plain(name)), None)


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter not in " _-")
