"""The answers in words: what is good is said, what is bad is said first, and every number has its doubt."""

from pathlib import Path
from typing import Any

import pytest

from cluster.report import write_prospects
from cluster.report_feasibility import answers_simulated, duration
from training.loop.feasibility import feasibility
from training.loop.prospect import Estimate, Prospect


def shard(shard_id: str, quality: float, **changes: Any) -> dict[str, Any]:
    generation = {
        "generation": 1,
        "frames_touched": 5,
        "tight_recall": quality,
        "e_count_ceiling": 0.97,
        "human_seconds": 300.0,
        "human_seconds_due": 600.0,
        "fit_seconds": 80.0,
        "label_seconds": 10.0,
    }
    neighbours = {"interpolation": {"tight_recall": 0.4}}
    return {
        "shard_id": shard_id,
        "task": "detection",
        "frames": 200,
        "generations": [generation],
        "baselines": neighbours,
        "baselines_by_generation": [neighbours],
        "equal_quality": {"interpolation_seconds": 1200.0},
        "drawing_seconds": 7200.0,
        **changes,
    }


def prospect_of(shares: dict[str, Estimate]) -> Prospect:
    return Prospect(
        shard_id="pond",
        ontology="boats",
        task="detection",
        measure="tight_recall",
        generation=2,
        frames=200,
        touched=5,
        held_out_frames=5,
        held_out_objects=10,
        shares=shares,
        human_seconds=70.0,
        drawing_seconds=7200.0,
        remaining_seconds=Estimate(600.0, 300.0, 3600.0),
        machine_seconds=400.0,
        warnings=("<b>few</b>",),
    )


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "–"), (1.7, "1.7 s"), (45.2, "45 s"), (600, "10 min"), (7200, "2.0 h"), (360000, "100.0 h")]
)
def test_a_duration_is_in_the_unit_that_people_say(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_cost_and_quality_stand_in_words_and_tables() -> None:
    (answer,) = answers_simulated(feasibility([shard("pond", 0.95), shard("harbour", 0.99)]))
    assert (answer.verdict, answer.works) == ("It works on all 2.", True)
    assert "took people 5 min to come there, and 10 min more" in answer.sentences[1]
    assert "interpolation to the same quality 20 min" in answer.sentences[1]
    quality, cost, further = (table for _, table in answer.tables)
    assert quality.rows[0] == ["pond", "1", "0.95", "0.40"]
    assert cost.rows[0] == ["pond", "200", "5 min", "10 min", "20 min", "2.0 h", "90 s"]
    assert further.rows[1][:2] == ["10", "50 min (50 min to 50 min)"]


def test_what_does_not_work_is_named_and_marked() -> None:
    (answer,) = answers_simulated(feasibility([shard("pond", 0.95), shard("fog", 0.3)]))
    assert not answer.works
    assert "does not work yet for these: fog" in answer.verdict
    assert any(warning.startswith("fog: does not work yet") for warning in answer.warnings)


def test_prelabels_are_a_neighbour_that_touched_nothing() -> None:
    one = shard("pond", 0.95)
    check = {"verdict": "too few labels to tell"}
    found = {"tight_recall": 0.7, "why_not": None, "unknown": ["buoy"], "check": check}
    one["baselines"] = {**one["baselines"], "prelabel": found}
    (answer,) = answers_simulated(feasibility([one]))
    table = answer.tables[0][1]
    assert (table.head[-1], table.rows[0][-1]) == ("prelabel, untouched", "0.70")
    assert any("too few labels to tell; it cannot know buoy" in warning for warning in answer.warnings)


def test_where_no_detector_knows_the_classes_that_is_said_and_there_is_no_column() -> None:
    one = shard("pond", 0.95)
    one["baselines"] = {**one["baselines"], "prelabel": {"why_not": "UnknownClass: the detector knows none of buoy"}}
    (answer,) = answers_simulated(feasibility([one]))
    assert any("knows none of buoy" in warning for warning in answer.warnings)
    assert answer.tables[0][1].rows[0] == ["pond", "1", "0.95", "0.40"]


def test_held_out_labels_make_a_page_with_intervals_and_nothing_breaks_out_of_it(tmp_path: Path) -> None:
    shares = {"tight_recall": Estimate(1.0, 0.722, 1.0)}
    write_prospects(tmp_path / "page.html", [prospect_of(shares)])
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    for text in (
        "1.00 (0.72 to 1.00)",
        "too few labels to tell",
        "10 min (5 min to 60 min)",
        "5 of 200",
        "2.0 h",
        "70 s",
        "7 min",
    ):
        assert f"<td>{text}</td>" in page, text
    assert "&lt;b&gt;few" in page
    assert "works on 0 of 1" in page
