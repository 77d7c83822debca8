"""A project's labelling configuration: which of its tags say what micro-models say."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, NoReturn, get_args
from xml.parsers import expat

from training.errors import BadLabelConfig

__all__ = ["Control", "Kind", "LabelConfig", "read_config"]

Kind = Literal["choices", "rectanglelabels", "brushlabels", "keypointlabels"]
MAX_CHARACTERS: Final = 200_000
MAX_TAGS: Final = 10_000
_ITEM: Final = {"choices": "Choice", **dict.fromkeys(("rectanglelabels", "brushlabels", "keypointlabels"), "Label")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """A tag that people label with. labels: as results name them, by `alias` where there is one.

    ontology: what its attribute `model_ontology` says, None without.
    """

    kind: Kind
    name: str
    to_name: str
    labels: tuple[str, ...]
    ontology: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelConfig:
    """controls: in their order. images: name of an image tag -> the key of the tasks' data that it shows."""

    controls: tuple[Control, ...]
    images: Mapping[str, str]


@dataclass(slots=True)
class _Reader:
    tags: int = 0
    open_controls: list[dict[str, str] | None] = field(default_factory=list)
    labels: dict[str, list[str]] = field(default_factory=dict)
    controls: dict[str, dict[str, str]] = field(default_factory=dict)
    images: dict[str, str] = field(default_factory=dict)

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.tags += 1
        if self.tags > MAX_TAGS:
            raise BadLabelConfig(f"more than {MAX_TAGS} tags")
        kind, name, control = tag.lower(), attributes.get("name"), self._control()
        if control is not None and tag == _ITEM[control["kind"]] and "value" in attributes:
            self.labels[control["name"]].append(attributes.get("alias") or attributes["value"])
        if kind in get_args(Kind) and name:
            control = {**attributes, "kind": kind, "name": name}
            self.controls[name], self.labels[name] = control, []
        if tag == "Image" and name:
            self.images[name] = attributes.get("value", "").removeprefix("$")
        self.open_controls.append(control)

    def end(self, _: str) -> None:
        self.open_controls.pop()

    def _control(self) -> dict[str, str] | None:
        """The one inside which we are."""
        return self.open_controls[-1] if self.open_controls else None


def read_config(xml: str) -> LabelConfig:
    """The controls that label an image, of the four kinds that we know; others are passed over.

    Raises:
        BadLabelConfig: not XML, with a document type (which could define entities), or too large.
    """
    if len(xml) > MAX_CHARACTERS:
        raise BadLabelConfig(f"a labelling configuration of {len(xml)} characters, needed at most {MAX_CHARACTERS}")
    reader, parser = _Reader(), expat.ParserCreate("utf-8")
    parser.StartElementHandler, parser.EndElementHandler = reader.start, reader.end
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        parser.Parse(xml.encode("utf-8", "replace"), True)
    except expat.ExpatError as error:
        raise BadLabelConfig(f"a labelling configuration that is not XML: {error}") from error
    found = (_made(one, reader.labels[name]) for name, one in reader.controls.items() if one.get("toName") in reader.images)
    return LabelConfig(controls=tuple(found), images=reader.images)


def _made(one: Mapping[str, str], labels: list[str]) -> Control:
    kind: Kind = one["kind"]  # type: ignore[assignment]
    ontology = one.get("model_ontology") or None
    return Control(kind=kind, name=one["name"], to_name=one["toName"], labels=tuple(dict.fromkeys(labels)), ontology=ontology)


def _refuse_doctype(*_: object) -> NoReturn:
    raise BadLabelConfig("a labelling configuration with a document type, needed plain tags")
