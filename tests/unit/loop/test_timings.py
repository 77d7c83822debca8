import json
from pathlib import Path
from typing import Any

import pytest

from training.data.human_actions import HumanAction
from training.data.ontology import Ontology
from training.errors import BadInput
from training.loop.timings import measured_seconds, read_timings, seconds_for
from training.models.actions import BOX_SECONDS, MASK_SECONDS, Seconds, keypoint_seconds

BOXES = Ontology(name="cars", task="detection", classes=("car",))
MASKS = Ontology(name="masks", task="segmentation", classes=("car",))
POINTS = Ontology(name="flies", task="keypoints", classes=("fly",), keypoints=("head", "tail"))


def written(tmp_path: Path, document: Any) -> Path:
    path = tmp_path / "seconds.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def looked(seconds: float | None, number: int) -> HumanAction:
    return HumanAction(
        event_id=str(number),
        action="look",
        round_kind="review",
        shard_id="s",
        ontology="cars",
        frame_index=number,
        who="ann",
        when="2026-01-02T03:04:05Z",
        seconds=seconds,
    )


def test_without_timings_the_table_is_the_tasks() -> None:
    assert [seconds_for(one) for one in (BOXES, MASKS, POINTS)] == [BOX_SECONDS, MASK_SECONDS, keypoint_seconds(2)]


def test_a_file_replaces_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    timings = read_timings(written(tmp_path, {"detection": {"draw": 5.2, "look": 1}, "keypoints": {"adjust": 2.5}}))
    assert seconds_for(BOXES, timings) == Seconds(draw=5.2, adjust=7.0, delete=1.7, look=1.0)
    assert seconds_for(POINTS, timings).adjust == 2.5
    assert seconds_for(POINTS, timings).draw == keypoint_seconds(2).draw
    assert seconds_for(MASKS, timings) == MASK_SECONDS


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{", "needed a JSON file"),
        ([], "a JSON list"),
        ({"boxes": {}}, "unknown 'boxes', needed some of classification, detection"),
        ({"detection": 7}, "detection: a JSON int"),
        ({"detection": {"confirm": 1}}, "unknown 'confirm', needed some of draw"),
        ({"detection": {"draw": 0}}, "detection draw takes 0 seconds"),
        ({"detection": {"draw": -1}}, "takes -1 seconds"),
        ({"detection": {"draw": "7"}}, "takes '7' seconds"),
        ({"detection": {"draw": True}}, "takes True seconds"),
        ('{"detection": {"draw": NaN}}', "takes nan seconds"),
        ('{"detection": {"draw": Infinity}}', "takes inf seconds"),
    ],
)
def test_timings_that_cannot_be_are_refused_with_their_file(tmp_path: Path, document: Any, message: str) -> None:
    with pytest.raises(BadInput, match=rf"seconds\.json: .*{message}"):
        read_timings(written(tmp_path, document))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"none\.json"):
        read_timings(tmp_path / "none.json")


def test_the_mean_of_enough_measurements_replaces_the_table() -> None:
    actions = [looked(1.0 + number % 2, number) for number in range(20)]
    assert measured_seconds(actions, BOX_SECONDS) == Seconds(draw=7.0, adjust=7.0, delete=1.7, look=1.5)
    assert measured_seconds(actions[1:], BOX_SECONDS) == BOX_SECONDS
    assert measured_seconds([*actions[1:], looked(None, 99)], BOX_SECONDS) == BOX_SECONDS
    assert measured_seconds([looked(0.0, number) for number in range(20)], BOX_SECONDS) == BOX_SECONDS
