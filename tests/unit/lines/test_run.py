"""What a line says about frames, with fitted micro-models."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from training.data.annotations import FrameLabels
from training.data.frames import Frame
from training.data.line import Stage
from training.data.line_labels import LineLabels
from training.errors import TooLarge
from training.lines.ready import ReadyLine, bank_of, ready_in
from training.lines.run import CropLimits, LineRun, run_line
from training.lines.save import save_line
from training.models.bank import Bank
from training.models.cache import ModelCache

FIND = Stage(name="find", model="yard@live", ontology="detection.square")
KIND = Stage(name="kind", model="yard_crops@live", ontology="classification.red-blue", input="find", padding=0.2)
AGAIN = Stage(name="again", model="yard@1", ontology="detection.square", input="find", padding=0.5, crop_size="pixels")


def prepared(yard: Any, stages: Sequence[Stage]) -> tuple[ReadyLine, Bank]:
    ready = ready_in(yard.store, save_line(yard.store, yard.line(stages)))
    return ready, bank_of(ready, ModelCache(yard.store.registry, 10**9))


def said_by(labels: LineLabels, stage: str) -> list[tuple[str, int | None]]:
    return [
        (one.class_name, parent)
        for one, made_by, parent in zip(labels.annotations, labels.stages, labels.parents, strict=True)
        if made_by == stage
    ]


def test_every_square_is_found_and_its_crop_says_its_colour(yard: Any) -> None:
    ready, bank = prepared(yard, [FIND, KIND])
    truth = {frame.frame_index: frame for frame in yard.store.labels("yard", "detection.square")}
    for labels in run_line(ready, bank, yard.frames()):
        assert sorted(name for name, _ in said_by(labels, "find")) == ["blue", "red"]
        assert [parent for _, parent in said_by(labels, "find")] == [None, None]
        for place, (name, parent) in enumerate(said_by(labels, "kind"), start=2):
            assert parent is not None
            kind, found = labels.annotations[place], labels.annotations[parent]
            assert (kind.level, kind.bbox_xyxy) == ("object", found.bbox_xyxy), "it refines the box that was cropped"
            assert (kind.provenance, kind.generation) == ("model", 1)
            (drawn,) = (one for one in truth[labels.frame_index].annotations if one.class_name == name)
            assert found.bbox_xyxy == pytest.approx(drawn.bbox_xyxy, abs=5), "the box around that colour"


def test_all_crops_of_all_frames_are_asked_about_in_one_pass_a_level(yard: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ready, bank = prepared(yard, [FIND, KIND, AGAIN, replace(FIND, name="too"), replace(KIND, name="last", input="again")])
    passes: list[list[int]] = []
    predict = bank.predict

    def counted(frames: Sequence[Frame], model_of_frame: Sequence[int]) -> list[FrameLabels]:
        passes.append(sorted(set(model_of_frame)))
        return predict(frames, model_of_frame)

    monkeypatch.setattr(bank, "predict", counted)
    run_line(ready, bank, yard.frames())
    assert passes == [[0, 3], [1, 2], [4]]


def test_frames_together_alone_or_with_few_crops_in_memory_get_the_same_answers(
    yard: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready, bank = prepared(yard, [FIND, AGAIN, KIND, replace(KIND, name="last", input="again")])
    frames = yard.frames()
    together = run_line(ready, bank, frames)
    assert {stage for labels in together for stage in labels.stages} == {"find", "again", "kind", "last"}
    alone = [labels for frame in frames for labels in run_line(ready, bank, [frame])]
    monkeypatch.setattr("training.lines.run.CROP_PIXELS", 1)
    for other in (alone, run_line(ready, bank, frames)):
        for one, same in zip(together, other, strict=True):
            assert (one.frame_index, one.stages, one.parents) == (same.frame_index, same.stages, same.parents)
            for a, b in zip(one.annotations, same.annotations, strict=True):
                assert (a.class_name, a.generation) == (b.class_name, b.generation)
                assert a.bbox_xyxy == pytest.approx(b.bbox_xyxy, abs=1e-3)
                assert a.score == pytest.approx(b.score, abs=1e-4)


def test_a_micro_model_of_whole_frames_finds_its_things_in_crops_that_keep_their_pixels(yard: Any) -> None:
    ready, bank = prepared(yard, [FIND, AGAIN])
    for labels in run_line(ready, bank, yard.frames()):
        again = said_by(labels, "again")
        assert again
        for place, (name, parent) in enumerate(again, start=2):
            assert parent is not None
            if name == labels.annotations[parent].class_name:
                assert labels.annotations[place].bbox_xyxy == pytest.approx(labels.annotations[parent].bbox_xyxy, abs=5)
        assert {name for name, _ in again} == {"red", "blue"}


def test_only_the_classes_asked_for_are_cropped_and_nothing_less_sure_than_the_least_score(yard: Any) -> None:
    ready, bank = prepared(yard, [FIND, replace(KIND, classes=("blue",))])
    for labels in run_line(ready, bank, yard.frames()):
        (parent,) = (parent for _, parent in said_by(labels, "kind"))
        assert parent is not None
        assert labels.annotations[parent].class_name == "blue"
    ready, bank = prepared(yard, [replace(FIND, min_score=1), KIND])
    assert [labels.annotations for labels in run_line(ready, bank, yard.frames()[:2])] == [(), ()]
    ready, bank = prepared(yard, [FIND, replace(KIND, min_score=1)])
    assert {stage for labels in run_line(ready, bank, yard.frames()[:2]) for stage in labels.stages} == {"find"}


def test_a_pinned_stage_keeps_its_generation_and_a_live_one_follows(yard: Any) -> None:
    stages = [FIND, replace(KIND, model="yard_crops@1")]
    assert [yard.publish_again(shard_id) for shard_id in ("yard", "yard_crops")] == [2, 2]
    ready, bank = prepared(yard, stages)
    assert [model.generation for model in ready.models] == [2, 1]
    (labels,) = run_line(ready, bank, yard.frames()[:1])
    made = {stage: one.generation for one, stage in zip(labels.annotations, labels.stages, strict=True)}
    assert made == {"find": 2, "kind": 1}


def test_too_many_crops_are_refused_with_the_picture_the_stage_and_the_limit(yard: Any) -> None:
    ready, bank = prepared(yard, [FIND, KIND])

    def run(limits: CropLimits) -> LineRun:
        going = LineRun(ready, bank.models, yard.frames(), limits)
        while asks := going.asks():
            going.take([bank.predict(ask.frames, [ask.stage] * len(ask.frames)) for ask in asks])
        return going

    assert run(CropLimits(max_crops=2, max_pixels=10**9)).num_crops == 16
    with pytest.raises(TooLarge, match="picture 0, stage 'kind' of squares@1: more than 1 crops"):
        run(CropLimits(max_crops=1, max_pixels=10**9))
    with pytest.raises(TooLarge, match="all crops of the request have more than 30000 pixels"):
        run(CropLimits(max_crops=2, max_pixels=30_000))


def test_no_frames_get_no_answers(yard: Any) -> None:
    ready, bank = prepared(yard, [FIND, KIND])
    assert run_line(ready, bank, []) == []
