"""The first rule whose conditions all hold leads to its shard; what the client does not say does not hold."""

from typing import Any

import pytest

from training.domain.metadata import Metadata, parse_time
from training.domain.rules import Rule, Rules
from training.errors import BadRules, BadShardId

DOOR = {"name": "door", "shard_id": "front_door"}


def rule(**conditions: Any) -> Rule:
    return Rule.from_json({**DOOR, **conditions})


def at(text: str) -> Metadata:
    return Metadata(time=parse_time(text))


def test_the_first_rule_that_holds_counts() -> None:
    rules = Rules.from_json(
        [
            {"name": "one", "shard_id": "one", "sensor": "cam-1"},
            {"name": "any", "shard_id": "any@3", "sensor": "cam-*"},
            {"name": "late", "shard_id": "late", "sensor": "cam-2"},
        ]
    )
    found = [rules.match(Metadata(sensor=sensor)) for sensor in ("cam-1", "cam-2", "door")]
    assert [None if one is None else one.name for one in found] == ["one", "any", None]


def test_all_conditions_have_to_hold_and_what_is_not_said_does_not() -> None:
    both = rule(video="front_*", sensor="cam-1")
    assert both.holds(Metadata(video="front_door", sensor="cam-1"))
    assert not both.holds(Metadata(video="back_door", sensor="cam-1"))
    assert not both.holds(Metadata(sensor="cam-1"))
    assert not both.holds(Metadata())


@pytest.mark.parametrize(
    ("pattern", "name", "holds"),
    [
        ("front_door", "front_door", True),
        ("front_door", "Front_door", False),
        ("front_door", "front_door_2", False),
        ("front_*", "front_door_2", True),
        ("cam-?", "cam-7", True),
        ("cam-?", "cam-17", False),
        ("cam-[1-3]", "cam-2", True),
        ("cam-[!1-3]", "cam-2", False),
    ],
)
def test_names_match_as_file_names_do_whole_and_in_the_case_given(pattern: str, name: str, holds: bool) -> None:
    assert rule(video=pattern).holds(Metadata(video=name)) is holds


@pytest.mark.parametrize(
    ("bbox", "place", "holds"),
    [
        ([9, 53, 10, 54], (9.5, 53.5), True),
        ([9, 53, 10, 54], (10, 54), True),
        ([9, 53, 10, 54], (10.001, 53.5), False),
        ([9, 53, 10, 54], (9.5, 52.9), False),
        ([170, -20, -170, 20], (179, 0), True),
        ([170, -20, -170, 20], (-175, 0), True),
        ([170, -20, -170, 20], (0, 0), False),
    ],
)
def test_a_box_has_what_is_between_its_sides_also_over_the_date_line(
    bbox: list[float], place: tuple[float, float], holds: bool
) -> None:
    assert rule(bbox=bbox).holds(Metadata(lon=place[0], lat=place[1])) is holds


@pytest.mark.parametrize(
    ("metres", "lon", "holds"), [(1120, 0.01, True), (1100, 0.01, False), (1120, -0.01, True), (100, 179.99, False)]
)
def test_near_is_a_distance_over_the_ground(metres: float, lon: float, holds: bool) -> None:
    """A hundredth of a degree along the equator is 1112 metres."""
    near = rule(near={"lon": 0, "lat": 0, "metres": metres})
    assert near.holds(Metadata(lon=lon, lat=0)) is holds


def test_near_looks_over_the_date_line() -> None:
    assert rule(near={"lon": 179.999, "lat": 0, "metres": 500}).holds(Metadata(lon=-179.999, lat=0))


@pytest.mark.parametrize(
    ("span", "moment", "holds"),
    [
        ("2026-03-01T00:00Z/2026-04-01T00:00Z", "2026-03-01T00:00:00Z", True),
        ("2026-03-01T00:00Z/2026-04-01T00:00Z", "2026-04-01T00:00:00Z", False),
        ("2026-03-01T00:00+01:00/..", "2026-02-28T23:00:00Z", True),
        ("2026-03-01T00:00+01:00/..", "2026-02-28T22:59:59Z", False),
        ("../2026-03-01T00:00Z", "1999-01-01T00:00:00Z", True),
    ],
)
def test_a_span_begins_with_its_start_and_ends_before_its_stop(span: str, moment: str, holds: bool) -> None:
    assert rule(times=[span]).holds(at(moment)) is holds


@pytest.mark.parametrize(
    ("hours", "zone", "moment", "holds"),
    [
        ("08:00/18:00", "UTC", "2026-01-02T08:00:00Z", True),
        ("08:00/18:00", "UTC", "2026-01-02T18:00:00Z", False),
        ("20:00/06:00", "UTC", "2026-01-02T23:59:00Z", True),
        ("20:00/06:00", "UTC", "2026-01-02T05:59:00Z", True),
        ("20:00/06:00", "UTC", "2026-01-02T12:00:00Z", False),
        ("20:00/06:00", "Europe/Berlin", "2026-01-02T19:30:00Z", True),  # winter: 20:30
        ("20:00/06:00", "Europe/Berlin", "2026-07-02T18:30:00Z", True),  # summer: 20:30
        ("20:00/06:00", "Europe/Berlin", "2026-01-02T18:30:00Z", False),
    ],
)
def test_daily_hours_are_those_of_the_zones_clocks(hours: str, zone: str, moment: str, holds: bool) -> None:
    assert rule(daily=[hours], zone=zone).holds(at(moment)) is holds


def test_any_of_several_times_is_enough() -> None:
    shifts = rule(daily=["06:00/07:00", "18:00/19:00"])
    assert [shifts.holds(at(f"2026-01-02T{hour}:30:00Z")) for hour in ("06", "12", "18")] == [True, False, True]


def test_rules_to_models_of_another_ontology_are_passed_over() -> None:
    rules = Rules.from_json([{**DOOR, "ontology": "cars", "video": "*"}, {"name": "all", "shard_id": "yard", "sensor": "*"}])
    about = Metadata(video="x", sensor="y")
    assert rules.match(about).shard_id == "front_door"  # type: ignore[union-attr]
    assert rules.match(about, ontology="cars").shard_id == "front_door"  # type: ignore[union-attr]
    assert rules.match(about, ontology="people").shard_id == "yard"  # type: ignore[union-attr]


def test_a_rule_comes_back_from_its_json() -> None:
    whole = rule(
        shard_id="front_door@3",
        ontology="cars",
        video="a*",
        sensor="b",
        bbox=[9, 53, 10, 54],
        near={"lon": 9.5, "lat": 53.5, "metres": 100},
        times=["2026-03-01T00:00:00+00:00/.."],
        daily=["20:00/06:30"],
        zone="Europe/Berlin",
    )
    assert Rule.from_json(whole.to_json()) == whole
    assert whole.to_json()["daily"] == ["20:00/06:30"]
    assert (whole.shard, whole.generation) == ("front_door", 3)
    assert rule(shard_id="front_door@live", video="*").generation is None


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({}, "no condition"),
        ({"name": "", "video": "x"}, "name"),
        ({"video": "x", "colour": "red"}, "colour"),
        ({"bbox": [9, 54, 10, 53]}, "north"),
        ({"bbox": [9, 53, 10]}, "Box"),
        ({"bbox": [9, 53, 10, 95]}, "lat 95"),
        ({"near": {"lon": 0, "lat": 0, "metres": 0}}, "0 metres"),
        ({"near": {"lon": 0, "lat": 0}}, "metres"),
        ({"times": ["2026-03-01T00:00Z"]}, "START/STOP"),
        ({"times": ["2026-03-01T00:00/.."]}, "offset"),
        ({"times": ["2026-04-01T00:00Z/2026-03-01T00:00Z"]}, "before it starts"),
        ({"daily": ["08:00/08:00"]}, "two different ends"),
        ({"daily": ["8 to 9"]}, "HH:MM"),
        ({"daily": ["08:00Z/09:00Z"]}, "zone"),
        ({"daily": ["08:00/09:00"], "zone": "Mars/Olympus"}, "Mars/Olympus"),
        ({"video": "x", "zone": "Europe/Berlin"}, "without daily hours"),
        ({"video": "x", "shard_id": "door@0"}, "generation"),
        ({"video": "x", "shard_id": "door@newest"}, "generation"),
    ],
)
def test_what_cannot_be_a_rule_is_refused_by_name(bad: dict[str, Any], said: str) -> None:
    with pytest.raises(BadRules, match=said) as caught:
        rule(**bad)
    assert str(caught.value).startswith(f"rule {bad.get('name', 'door')!r}" if "name" in bad else "rule door")


def test_a_shard_id_that_no_shard_can_have_is_refused() -> None:
    with pytest.raises(BadShardId):
        rule(video="x", shard_id="../door")


def test_two_rules_of_one_name_are_refused() -> None:
    with pytest.raises(BadRules, match="rule door: two rules of this name"):
        Rules(rules=(rule(video="a"), rule(video="b")))


def test_a_rule_that_can_never_be_reached_is_refused() -> None:
    with pytest.raises(BadRules, match="rule second: asks for the same as first"):
        Rules(rules=(rule(name="first", video="a", sensor="b"), rule(name="second", sensor="b", video="a", shard_id="yard")))


def test_too_many_rules_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.domain.rules.MAX_RULES", 1)
    with pytest.raises(BadRules, match="2 rules, needed at most 1"):
        Rules(rules=(rule(video="a"), rule(name="b", video="b")))
