"""What a client knows of a picture beside its pixels."""

from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR, datetime

from training.errors import BadMetadata

__all__ = ["Metadata", "check_place", "parse_time"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """None where the client does not know it.

    video, sensor: any names that rules know.  lon, lat: degrees, WGS 84.  time: when the picture was taken, with its offset.

    Raises:
        BadMetadata: half a place, one that is not on Earth, a time without an offset, or in the first or last year there is.
    """

    video: str | None = None
    sensor: str | None = None
    lon: float | None = None
    lat: float | None = None
    time: datetime | None = None

    def __post_init__(self) -> None:
        if (self.lon is None) != (self.lat is None):
            raise BadMetadata(f"lon {self.lon}, lat {self.lat}; needed both or neither")
        if self.lon is not None and self.lat is not None:
            check_place(self.lon, self.lat)
        if self.time is not None and self.time.utcoffset() is None:
            raise BadMetadata(f"time {self.time.isoformat()}: no offset from UTC, needed one such as Z or +02:00")
        if self.time is not None and not MINYEAR < self.time.year < MAXYEAR:
            raise BadMetadata(f"time {self.time.isoformat()}: a year that ends sooner elsewhere, needed one within 2..9998")

    @property
    def place(self) -> tuple[float, float] | None:
        """(lon, lat), if both are known."""
        return None if self.lon is None or self.lat is None else (self.lon, self.lat)


def check_place(lon: float, lat: float) -> tuple[float, float]:
    """Raises BadMetadata: not degrees, also NaN."""
    if not (-180 <= lon <= 180 and -90 <= lat <= 90):
        raise BadMetadata(f"lon {lon}, lat {lat}; needed -180..180 and -90..90 degrees")
    return lon, lat


def parse_time(text: str) -> datetime:
    """A moment in ISO 8601.

    Raises:
        BadMetadata: it is none, or has no offset from UTC.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadMetadata(f"time {text!r:.60}: not ISO 8601, needed one such as 2026-01-02T03:04:05Z") from error
    if moment.utcoffset() is None:
        raise BadMetadata(f"time {text!r:.60}: no offset from UTC, needed one such as Z or +02:00")
    return moment
