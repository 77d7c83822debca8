import json
from dataclasses import replace
from typing import Any

import pytest

from training.data.annotations import Annotation
from training.data.human_actions import HumanAction
from training.errors import BadAnnotation, BadInput, BadShardId

OLD = Annotation(class_name="dog", bbox_xyxy=(1.0, 2.0, 3.0, 4.0), provenance="model", generation=2, score=0.5, track_id="7")
NEW = Annotation(class_name="dog", bbox_xyxy=(1.0, 2.0, 5.0, 4.0), author="ann")
ADJUST = HumanAction(
    event_id="e1",
    action="adjust",
    round_kind="review",
    shard_id="dog",
    ontology="detection",
    frame_index=3,
    who="ann",
    when="2026-01-02T03:04:05Z",
    generation=2,
    annotation_id="0",
    before=OLD,
    after=NEW,
    seconds=4.5,
)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"seconds": None, "generation": None, "annotation_id": None},
        {"action": "look", "before": None, "after": None},
        {
            "before": replace(OLD, keypoints_xyv=(1.0, 2.0, 2.0), rle_counts="abc"),
            "after": Annotation(class_name="x", level="image"),
        },
    ],
)
def test_an_action_comes_back_from_its_json(changes: dict[str, Any]) -> None:
    action = replace(ADJUST, **changes)
    again = HumanAction.from_json(json.loads(json.dumps(action.to_json())))
    assert again == action
    assert again.digest == action.digest


def test_json_holds_only_what_is_known() -> None:
    draw = replace(ADJUST, action="draw", before=None, seconds=None)
    assert not {"before", "seconds"} & draw.to_json().keys()
    assert "score" not in draw.to_json()["after"]


def test_whole_numbers_are_the_same_as_their_floats() -> None:
    whole = replace(ADJUST, seconds=4, after=Annotation(class_name="dog", bbox_xyxy=(1, 2, 5, 4), author="ann"))
    assert whole.digest == replace(ADJUST, seconds=4.0).digest


@pytest.mark.parametrize("changes", [{"seconds": 4.6}, {"who": "bob"}, {"after": OLD}, {"frame_index": 4}, {"seconds": None}])
def test_different_actions_have_different_digests(changes: dict[str, Any]) -> None:
    assert replace(ADJUST, **changes).digest != ADJUST.digest


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"action": "erase"}, "action 'erase', needed one of draw"),
        ({"round_kind": "party"}, "round 'party', needed one of labels"),
        ({"event_id": ""}, "event id ''"),
        ({"event_id": "a\nb"}, "printable"),
        ({"who": ""}, "who ''"),
        ({"annotation_id": ""}, "annotation id ''"),
        ({"frame_index": -1}, "frame -1"),
        ({"frame_index": "3"}, "frame '3'"),
        ({"frame_index": True}, "frame True"),
        ({"generation": 0}, "generation 0"),
        ({"round_kind": "labels"}, "generation 2 in round 'labels'"),
        ({"round_kind": "audit"}, "generation 2 in round 'audit'"),
        ({"action": "audit", "before": None, "after": None}, "round 'review', needed 'audit'"),
        ({"before": None}, "needed \\(True, True\\)"),
        ({"action": "draw"}, "needed \\(False, True\\)"),
        ({"action": "delete"}, "needed \\(True, False\\)"),
        ({"action": "confirm"}, "needed \\(True, False\\)"),
        ({"action": "look"}, "needed \\(False, False\\)"),
        ({"seconds": -1.0}, "-1.0 seconds"),
        ({"seconds": float("nan")}, "nan seconds"),
        ({"seconds": float("inf")}, "inf seconds"),
        ({"seconds": "4"}, "'4' seconds"),
        ({"when": "yesterday"}, "when 'yesterday'"),
        ({"when": "2026-01-02T03:04:05"}, "needed ISO 8601 in UTC"),
        ({"when": "2026-01-02T03:04:05+02:00"}, "needed ISO 8601 in UTC"),
    ],
)
def test_impossible_actions_are_refused_by_name(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        replace(ADJUST, **changes)


def test_names_that_cannot_be_part_of_a_path_are_refused() -> None:
    for changes in ({"shard_id": "../x"}, {"ontology": "a/b"}):
        with pytest.raises(BadShardId):
            replace(ADJUST, **changes)


@pytest.mark.parametrize(
    "changes", [{"who": None}, {"before": 3}, {"before": {"class_name": "dog", "bbox_xyxy": "abcd"}}, {"shard_id": 3}]
)
def test_json_of_the_wrong_kind_is_refused_by_event(changes: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="'e1'"):
        HumanAction.from_json({**ADJUST.to_json(), **changes})


def test_a_missing_key_and_an_impossible_box_are_refused() -> None:
    with pytest.raises(BadInput, match=r"'e1'.*who"):
        HumanAction.from_json({name: value for name, value in ADJUST.to_json().items() if name != "who"})
    with pytest.raises(BadAnnotation, match="no area"):
        HumanAction.from_json({**ADJUST.to_json(), "after": {"class_name": "dog", "bbox_xyxy": [1, 1, 1, 1]}})


def test_keys_of_a_newer_version_are_ignored() -> None:
    assert HumanAction.from_json({**ADJUST.to_json(), "mood": "good"}) == ADJUST
