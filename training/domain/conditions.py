"""Places and times that a rule may ask for."""

import math
from dataclasses import dataclass
from datetime import datetime, time, tzinfo
from typing import Self
from zoneinfo import ZoneInfo

from training.domain.metadata import check_place, parse_time
from training.errors import BadMetadata, BadRules

__all__ = ["Around", "Box", "Daily", "Span", "zone"]

EARTH_M = 6_371_008.8  # mean radius
OPEN = ".."  # an end of a span that is not there, as in OGC's and STAC's intervals


@dataclass(frozen=True, slots=True)
class Box:
    """Degrees as in GeoJSON; from east of the date line to west of it where west > east. Its edge is inside."""

    west: float
    south: float
    east: float
    north: float

    def __post_init__(self) -> None:
        _check(self.west, self.south, f"bbox {self.to_json()}")
        _check(self.east, self.north, f"bbox {self.to_json()}")
        if self.south > self.north:
            raise BadRules(
                f"bbox {self.to_json()}: south {self.south} is north of {self.north}, needed [west, south, east, north]"
            )

    def has(self, lon: float, lat: float) -> bool:
        across = self.west > self.east
        inside = lon >= self.west or lon <= self.east if across else self.west <= lon <= self.east
        return inside and self.south <= lat <= self.north

    def to_json(self) -> list[float]:
        return [self.west, self.south, self.east, self.north]


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """Within `metres` of a point, on a sphere: wrong by at most 0.6 %."""

    lon: float
    lat: float
    metres: float

    def __post_init__(self) -> None:
        _check(self.lon, self.lat, "near")
        if not 0 < self.metres < math.inf:
            raise BadRules(f"near: {self.metres} metres, needed more than 0")

    def has(self, lon: float, lat: float) -> bool:
        """By the haversine."""
        here, there = math.radians(self.lat), math.radians(lat)
        turn = math.radians(lon - self.lon)
        half = math.sin((there - here) / 2) ** 2 + math.cos(here) * math.cos(there) * math.sin(turn / 2) ** 2
        return 2 * EARTH_M * math.asin(min(1.0, math.sqrt(half))) <= self.metres

    def to_json(self) -> dict[str, float]:
        return {"lon": self.lon, "lat": self.lat, "metres": self.metres}


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """From a moment until before another; None where it has no end on that side."""

    start: datetime | None
    stop: datetime | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Of '2026-01-01T00:00Z/2026-02-01T00:00Z', either end may be '..'. Raises BadRules."""
        ends = text.split("/")
        if len(ends) != 2:
            raise BadRules(f"times {text!r:.100}: needed START/STOP in ISO 8601, either may be '..'")
        try:
            start, stop = (None if end == OPEN else parse_time(end) for end in ends)
        except BadMetadata as error:
            raise BadRules(f"times {text!r:.100}: {error}") from error
        if start is not None and stop is not None and start >= stop:
            raise BadRules(f"times {text!r:.100}: it ends before it starts, needed START before STOP")
        return cls(start=start, stop=stop)

    def has(self, moment: datetime) -> bool:
        return (self.start is None or self.start <= moment) and (self.stop is None or moment < self.stop)

    def __str__(self) -> str:
        return "/".join(OPEN if end is None else end.isoformat() for end in (self.start, self.stop))


@dataclass(frozen=True, slots=True, kw_only=True)
class Daily:
    """Hours of every day, from one until before another; over midnight where the first is the later one."""

    start: time
    stop: time

    @classmethod
    def parse(cls, text: str) -> Self:
        """Of '20:00/06:00'. Raises BadRules."""
        try:
            start, stop = (time.fromisoformat(end) for end in text.split("/"))
        except ValueError as error:
            raise BadRules(f"daily {text!r:.60}: needed HH:MM/HH:MM") from error
        if start.tzinfo is not None or stop.tzinfo is not None:
            raise BadRules(f"daily {text!r:.60}: hours with an offset, needed the rule's `zone` for that")
        if start == stop:
            raise BadRules(f"daily {text!r:.60}: no hours or all of them, needed two different ends")
        return cls(start=start, stop=stop)

    def has(self, moment: datetime, where: tzinfo) -> bool:
        clock = moment.astimezone(where).time()
        if self.start < self.stop:
            return self.start <= clock < self.stop
        return clock >= self.start or clock < self.stop

    def __str__(self) -> str:
        return "/".join(end.isoformat().removesuffix(":00") for end in (self.start, self.stop))


def zone(name: str) -> ZoneInfo:
    """Raises BadRules: this machine knows no such time zone."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise BadRules(f"zone {name!r:.60}: not known here, needed a name such as Europe/Berlin or UTC") from error


def _check(lon: float, lat: float, what: str) -> None:
    try:
        check_place(lon, lat)
    except BadMetadata as error:
        raise BadRules(f"{what}: {error}") from error
