import math
from datetime import UTC, datetime

import pytest

from training.domain.metadata import Metadata, parse_time
from training.errors import BadMetadata


def test_nothing_has_to_be_known() -> None:
    assert Metadata().place is None
    assert Metadata(lon=9.9, lat=53.5).place == (9.9, 53.5)


@pytest.mark.parametrize(
    "said",
    [{"lon": 1.0}, {"lat": 1.0}, {"lon": 181.0, "lat": 0.0}, {"lon": 0.0, "lat": -91.0}, {"lon": math.nan, "lat": 0.0}],
)
def test_half_a_place_and_one_that_is_not_on_earth_are_refused(said: dict[str, float]) -> None:
    with pytest.raises(BadMetadata, match="lon"):
        Metadata(**said)


def test_a_time_needs_its_offset() -> None:
    with pytest.raises(BadMetadata, match="offset"):
        Metadata(time=datetime(2026, 1, 2))
    assert parse_time("2026-01-02T04:04:05+01:00") == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    for text in ("2026-01-02T03:04:05", "yesterday"):
        with pytest.raises(BadMetadata, match="time"):
            parse_time(text)
