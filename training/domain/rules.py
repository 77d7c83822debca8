"""Rules from what a client knows of a picture to the micro-model that answers: an ordered list, the first that fits counts."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, Self

from training.data.identifiers import check_identifier
from training.domain.conditions import Around, Box, Daily, Span, zone
from training.domain.metadata import Metadata
from training.errors import BadRules

__all__ = ["Rule", "Rules"]

_GENERATION = re.compile("0*[1-9][0-9]{0,8}")
MAX_RULES = 10_000  # they are tried one after the other


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Where pictures go for which everything holds that is not None or empty; what the client does not say does not hold.

    shard_id: also 'shard@3' or 'shard@live'.  ontology: needed only if the shard has models of several.
    video, sensor: as a whole, in the case given; * ? [abc] as in file names.
    times: any of them.  daily: any of them, by the clocks of `zone`.

    Raises:
        BadRules: no condition, or one that cannot be; names the rule.
        BadShardId: a name that no shard or ontology can have.
    """

    name: str
    shard_id: str
    ontology: str | None = None
    video: str | None = None
    sensor: str | None = None
    bbox: Box | None = None
    near: Around | None = None
    times: tuple[Span, ...] = ()
    daily: tuple[Daily, ...] = ()
    zone: str = "UTC"

    def __post_init__(self) -> None:
        if not 1 <= len(self.name) <= 200:
            raise BadRules(f"rule {self.name!r:.60}: a name of {len(self.name)} characters, needed 1 to 200")
        check_identifier(self.shard, "shard id")
        if self.ontology is not None:
            check_identifier(self.ontology, "ontology")
        _, _, which = self.shard_id.partition("@")
        if "@" in self.shard_id and which != "live" and not _GENERATION.fullmatch(which):
            raise BadRules(f"rule {self.name}: {self.shard_id}, needed a generation such as @3, or @live")
        if not self.conditions:
            raise BadRules(f"rule {self.name}: no condition, needed at least one of {', '.join(_CONDITIONS)}")
        if self.zone != "UTC" and not self.daily:
            raise BadRules(f"rule {self.name}: zone {self.zone} without daily hours, needed hours that it is about")
        zone(self.zone)

    @property
    def shard(self) -> str:
        """Without the generation."""
        return self.shard_id.partition("@")[0]

    @property
    def generation(self) -> int | None:
        """None for the live one."""
        which = self.shard_id.partition("@")[2]
        return int(which) if which.isdecimal() else None

    @property
    def conditions(self) -> tuple[str, ...]:
        return tuple(name for name in _CONDITIONS if getattr(self, name) not in (None, ()))

    def holds(self, about: Metadata) -> bool:
        return all(_CONDITIONS[name](self, about) for name in self.conditions)

    def to_json(self) -> dict[str, Any]:
        """Without what does not matter; `from_json` gives the same rule."""
        written: dict[str, Any] = {name: getattr(self, name) for name in ("name", "shard_id", "ontology", "video", "sensor")}
        written["bbox"] = None if self.bbox is None else self.bbox.to_json()
        written["near"] = None if self.near is None else self.near.to_json()
        written["times"] = [str(one) for one in self.times] or None
        written["daily"] = [str(one) for one in self.daily] or None
        written["zone"] = self.zone if self.daily else None
        return {key: value for key, value in written.items() if value is not None}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Raises BadRules: names the rule."""
        given = dict(document)
        name = str(given.get("name", "?"))
        try:
            if given.get("bbox") is not None:
                given["bbox"] = Box(*given["bbox"])
            if given.get("near") is not None:
                given["near"] = Around(**given["near"])
            given["times"] = tuple(Span.parse(one) for one in given.get("times") or ())
            given["daily"] = tuple(Daily.parse(one) for one in given.get("daily") or ())
            return cls(**given)
        except BadRules as error:
            raise error if str(error).startswith("rule ") else BadRules(f"rule {name}: {error}") from error
        except (TypeError, AttributeError) as error:
            raise BadRules(f"rule {name}: {error}; needed what docs/http.md says of a rule") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """number: under which they are in the store; 0 when nobody has saved any.

    Raises:
        BadRules: two of one name, two that ask for the same, or too many.
    """

    rules: tuple[Rule, ...] = ()
    number: int = 0
    saved_at: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if len(self.rules) > MAX_RULES:
            raise BadRules(f"{len(self.rules)} rules, needed at most {MAX_RULES}")
        if twice := [name for name, count in Counter(rule.name for rule in self.rules).items() if count > 1]:
            raise BadRules(f"rule {twice[0]}: two rules of this name, needed each name once")
        first: dict[Rule, str] = {}
        for rule in self.rules:
            asked = replace(rule, name="?", shard_id="any", ontology=None)
            if asked in first:
                raise BadRules(f"rule {rule.name}: asks for the same as {first[asked]} before it, needed another condition")
            first[asked] = rule.name

    def match(self, about: Metadata, *, ontology: str | None = None) -> Rule | None:
        """The first rule that holds; with `ontology`, rules to models of another one are passed over."""
        able = (rule for rule in self.rules if ontology is None or rule.ontology in (None, ontology))
        return next((rule for rule in able if rule.holds(about)), None)

    def to_json(self) -> list[dict[str, Any]]:
        return [rule.to_json() for rule in self.rules]

    @classmethod
    def from_json(cls, documents: Sequence[Mapping[str, Any]], **values: Any) -> Self:
        """Raises BadRules, BadShardId."""
        return cls(rules=tuple(Rule.from_json(one) for one in documents), **values)


def _place_in(area: Box | Around | None, about: Metadata) -> bool:
    return area is not None and about.place is not None and area.has(*about.place)


_CONDITIONS: dict[str, Callable[[Rule, Metadata], bool]] = {
    "video": lambda rule, about: about.video is not None and fnmatchcase(about.video, rule.video or ""),
    "sensor": lambda rule, about: about.sensor is not None and fnmatchcase(about.sensor, rule.sensor or ""),
    "bbox": lambda rule, about: _place_in(rule.bbox, about),
    "near": lambda rule, about: _place_in(rule.near, about),
    "times": lambda rule, about: about.time is not None and any(one.has(about.time) for one in rule.times),
    "daily": lambda rule, about: about.time is not None and any(one.has(about.time, zone(rule.zone)) for one in rule.daily),
}
