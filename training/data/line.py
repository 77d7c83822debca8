"""What an assembly line is: micro-models in sequence, each asked about the whole picture or about crops of what another found."""

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any, Final, Literal, get_args

from training.data.identifiers import check_identifier
from training.errors import BadLine, BadShardId

__all__ = ["MAX_STAGES", "PICTURE", "CropSize", "Line", "Stage"]

PICTURE: Final = "picture"  # the input of a stage that sees the whole picture
MAX_STAGES: Final = 16
MAX_PADDING: Final = 5.0
CropSize = Literal["frame", "pixels"]
_MODEL = re.compile(r"[^@]+(@(live|[1-9][0-9]{0,8}))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One micro-model of a line, and what it is asked about.

    model: 'shard', 'shard@live' (a new generation takes over by itself) or 'shard@3' (pinned).
    ontology: None in a line that is not saved yet, of a shard that has models of one ontology only.
    input: PICTURE, or the stage whose answers are cropped, one crop each.
    classes: of the answers of `input`, those that are cropped; none means all.
    min_score: what this stage says and is less sure of is left out, and nothing is cropped from it.
    padding: how far a crop reaches beyond its box on every side, in shares of the box's width and height.
    crop_size: 'frame': a crop is resized to a frame of the model's own shard; 'pixels': it stays as it is in the picture.
    Raises:
        BadLine: a name, reference, number or word that a stage cannot have, or crop settings of a stage that sees the picture.
    """

    name: str
    model: str
    ontology: str | None = None
    input: str = PICTURE
    classes: tuple[str, ...] = ()
    min_score: float = 0.0
    padding: float = 0.0
    crop_size: CropSize = "frame"

    def __post_init__(self) -> None:
        where = f"stage {self.name!r}"
        _check_name(self.name, "stage")
        if self.name == PICTURE:
            raise BadLine(f"{where}: that name means the whole picture, needed another")
        if not _MODEL.fullmatch(self.model):
            raise BadLine(f"{where}: model {self.model!r}, needed 'shard', 'shard@live' or 'shard@3'")
        if not 0 <= self.min_score <= 1:
            raise BadLine(f"{where}: min_score {self.min_score}, needed 0 to 1")
        if not 0 <= self.padding <= MAX_PADDING:
            raise BadLine(f"{where}: padding {self.padding}, needed 0 to {MAX_PADDING:g}")
        if self.crop_size not in get_args(CropSize):
            raise BadLine(f"{where}: crop_size {self.crop_size!r}, needed one of {', '.join(get_args(CropSize))}")
        if self.input == PICTURE and (self.classes or self.padding or self.crop_size != "frame"):
            raise BadLine(f"{where}: classes, padding or crop_size of the whole picture, needed another stage as its input")

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "classes": list(self.classes)}

    @classmethod
    def from_json(cls, document: object, where: str = "stage") -> "Stage":
        """Raises BadLine; its message begins with `where`."""
        values = _known(document, _STAGE, ("name", "model"), where)
        return cls(**{**values, "classes": tuple(values.get("classes", ()))})


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line as somebody declared it; every stage goes back to the picture.

    version: 1, 2, 3, … as the store numbers them; 0 until it is saved.
    saved_at: ISO 8601, UTC; '' until it is saved.
    Raises:
        BadLine: no stages or too many, one name twice, an input that is no stage, or a cycle; names the stages.
    """

    name: str
    stages: tuple[Stage, ...]
    version: int = 0
    saved_at: str = ""

    def __post_init__(self) -> None:
        _check_name(self.name, "line")
        if not 1 <= len(self.stages) <= MAX_STAGES:
            raise BadLine(f"line {self.name}: {len(self.stages)} stages, needed 1 to {MAX_STAGES}")
        names = [stage.name for stage in self.stages]
        for stage in self.stages:
            if names.count(stage.name) > 1:
                raise BadLine(f"line {self.name}: two stages called {stage.name!r}, needed each name once")
            if stage.input not in (PICTURE, *names):
                raise BadLine(
                    f"line {self.name}: stage {stage.name!r} takes {stage.input!r}, needed one of {', '.join((PICTURE, *names))}"
                )
        for stage in self.stages:
            self._depth(stage)

    @property
    def ref(self) -> str:
        """How people name it: 'parcels@2'."""
        return f"{self.name}@{self.version}"

    def stage(self, name: str) -> Stage:
        return next(stage for stage in self.stages if stage.name == name)

    @property
    def levels(self) -> tuple[tuple[int, ...], ...]:
        """Places of the stages that can be asked together, those that see the picture first."""
        depths = [self._depth(stage) for stage in self.stages]
        ordered = sorted(range(len(depths)), key=lambda place: depths[place])
        return tuple(tuple(same) for _, same in groupby(ordered, key=lambda place: depths[place]))

    def to_json(self) -> dict[str, Any]:
        stages = [stage.to_json() for stage in self.stages]
        return {"name": self.name, "version": self.version, "saved_at": self.saved_at, "stages": stages}

    @classmethod
    def from_json(cls, document: object, where: str = "line") -> "Line":
        """Raises BadLine; what the JSON itself lacks is told with `where` in front."""
        values = _known(document, _LINE, ("name", "stages"), where)
        stages = values["stages"]
        return cls(**{**values, "stages": tuple(Stage.from_json(one, f"{where}: stage {n}") for n, one in enumerate(stages))})

    def _depth(self, stage: Stage) -> int:
        """How many stages come before it."""
        before = [stage.name]
        while stage.input != PICTURE:
            stage = self.stage(stage.input)
            if stage.name in before:
                cycle = " <- ".join([*before[before.index(stage.name) :], stage.name])
                raise BadLine(f"line {self.name}: a cycle of inputs, {cycle}; needed every stage to go back to the picture")
            before.append(stage.name)
        return len(before) - 1


def _text(value: object) -> bool:
    return isinstance(value, str)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _texts(value: object) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(one, str) for one in value)


_Kind = tuple[Callable[[object], bool], str]
_STAGE: Mapping[str, _Kind] = {
    **dict.fromkeys(("name", "model", "input", "crop_size"), (_text, "a text")),
    "ontology": (lambda value: value is None or isinstance(value, str), "a text"),
    "classes": (_texts, "a list of texts"),
    **dict.fromkeys(("min_score", "padding"), (_number, "a number")),
}
_LINE: Mapping[str, _Kind] = {
    **dict.fromkeys(("name", "saved_at"), (_text, "a text")),
    "version": (lambda value: isinstance(value, int) and not isinstance(value, bool), "a whole number"),
    "stages": (lambda value: isinstance(value, list), "a list of stages"),
}


def _known(document: object, kinds: Mapping[str, _Kind], needed: tuple[str, ...], where: str) -> dict[str, Any]:
    """The values of a JSON object that has no other keys than `kinds`, and all that are needed."""
    if not isinstance(document, Mapping):
        raise BadLine(f"{where}: {type(document).__name__}, needed an object with {', '.join(needed)}")
    for name, value in document.items():
        if name not in kinds:
            raise BadLine(f"{where}: unknown key {name!r:.100}, needed some of {', '.join(kinds)}")
        fits, kind = kinds[name]
        if not fits(value):
            raise BadLine(f"{where}: {name} is {value!r:.100}, needed {kind}")
    if missing := [name for name in needed if name not in document]:
        raise BadLine(f"{where}: no {missing[0]}, needed {', '.join(needed)}")
    return dict(document)


def _check_name(name: str, what: str) -> None:
    try:
        check_identifier(name, f"{what} name")
    except BadShardId as error:
        raise BadLine(str(error)) from error
