"""The result of an annotation: regions of the controls that label in an ontology, and what else a person said."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from pydantic import ValidationError

from services.label_studio.binding import Binding
from services.label_studio.schemas import RegionIn
from training.errors import BadRequest

__all__ = ["Foreign", "Result", "read_result"]

_DRAWS_NOTHING: Final = (
    "choices",
    "textarea",
    "rating",
    "number",
    "datetime",
    "taxonomy",
    "pairwise",
    "ranker",
)
"""Types that say something of a picture, or of a region that is there beside them."""


@dataclass(frozen=True, slots=True, order=True)
class Foreign:
    """What a control of no binding says, as far as it can be read. to_name: of the picture, '' if it does not say."""

    control: str
    kind: str
    to_name: str

    @property
    def draws(self) -> bool:
        """What nobody knows may draw something."""
        return self.kind not in _DRAWS_NOTHING


@dataclass(frozen=True, slots=True)
class Result:
    """regions: of our controls. foreign: the rest, but for relations, which no control says."""

    regions: Sequence[RegionIn]
    foreign: Sequence[Foreign]

    def elsewhere(self, binding: Binding) -> bool:
        """Whether something that no binding takes is drawn on the picture of this one."""
        return any(one.draws and one.to_name in ("", binding.control.to_name) for one in self.foreign)

    def notes(self) -> Iterator[str]:
        """One for each control of no binding."""
        for one, some in groupby(sorted(self.foreign)):
            number = len(list(some))
            yield (
                f"{number} region{'s' if number > 1 else ''} of {one.control!r:.100} ({one.kind[:100] or 'of no type'}),"
                " which labels in no ontology of the store, left out"
            )


def read_result(result: Sequence[Mapping[str, Any]], controls: Collection[str]) -> Result:
    """Regions of these controls, each as strict as everything that is kept; others may look as they like.

    Raises:
        BadRequest: a region of ours that cannot be understood; says the first place that does not fit.
    """
    ours, foreign = [], []
    for number, one in enumerate(result):
        name = _text(one, "from_name")
        if name in controls:
            ours.append(_region(number, one))
        elif (kind := _text(one, "type")) != "relation":
            foreign.append(Foreign(name, kind, _text(one, "to_name")))
    return Result(ours, foreign)


def _region(number: int, one: Mapping[str, Any]) -> RegionIn:
    try:
        return RegionIn.model_validate(one)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(str(step) for step in ("result", number, *first["loc"]))[:100]
        raise BadRequest(f"{where}: {first['msg']}; needed what Label Studio sends") from error


def _text(one: Mapping[str, Any], key: str) -> str:
    value = one.get(key)
    return value if isinstance(value, str) else ""
