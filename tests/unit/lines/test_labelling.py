"""A line over whole shards: every frame once, the rest later, and again when another generation answers."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from training.data.images import pictures_in
from training.errors import UnknownShard
from training.learning.clip import ClipReceipt
from training.lines.labelling import LineLabeller, plan_line
from training.lines.ready import ReadyLine, bank_of, ready_in
from training.lines.run import run_line
from training.lines.save import save_line
from training.models.cache import ModelCache


def prepared(yard: Any) -> ReadyLine:
    return ready_in(yard.store, save_line(yard.store, yard.line()))


def label(yard: Any, line: ReadyLine, shard_ids: list[str] | None = None, frames_per_clip: int = 3) -> list[ClipReceipt]:
    labeller = LineLabeller(yard.store, line=line)
    return list(labeller.label(plan_line(yard.store, line, shard_ids, frames_per_clip=frames_per_clip).clips))


def test_every_frame_of_the_lines_own_shard_is_labelled_once_and_what_is_written_is_what_the_line_says(yard: Any) -> None:
    line = prepared(yard)
    receipts = label(yard, line)
    counts = [(one.shard_id, one.ontology, one.generation, one.start, one.stop, one.num_frames) for one in receipts]
    assert counts == [("yard", "squares", 1, start, stop, stop - start) for start, stop in ((0, 3), (3, 6), (6, 8))]
    assert {one.error for one in receipts} == {None}
    written, errors = yard.store.line_predictions.read("squares@1", line.models, "yard")
    bank = bank_of(line, ModelCache(yard.store.registry, 10**9))
    said = run_line(line, bank, yard.frames())
    assert errors == {}
    assert [(one.frame_index, one.stages, one.parents) for one in written] == [
        (one.frame_index, one.stages, one.parents) for one in said
    ]
    assert sum(one.num_objects for one in receipts) == sum(len(one.annotations) for one in said)


def test_a_second_run_has_nothing_to_do_until_another_generation_answers_in_any_stage(yard: Any) -> None:
    line = prepared(yard)
    label(yard, line)
    again = plan_line(yard.store, line, None, frames_per_clip=5)
    assert (again.clips, again.skipped) == ([], 3)
    yard.publish_again("yard_crops")
    assert plan_line(yard.store, line, None).clips == [], "a line that is on its way keeps its generations"
    newer = prepared(yard)
    (clip,) = plan_line(yard.store, newer, None).clips
    assert (clip.start, clip.stop) == (0, 8)
    label(yard, newer)
    assert {key.split("/")[3] for key in yard.store.objects.keys("predictions/")} == {"gen-0001-0001", "gen-0001-0002"}


def test_shards_that_are_named_are_labelled_whatever_the_line_was_made_for(yard: Any) -> None:
    line = prepared(yard)
    receipts = label(yard, line, ["yard_crops", "yard_crops"], frames_per_clip=64)
    assert [(one.shard_id, one.num_frames, one.error) for one in receipts] == [("yard_crops", 16, None)]
    with pytest.raises(UnknownShard, match="street"):
        plan_line(yard.store, line, ["street"])


def test_frames_that_cannot_be_read_are_rows_that_say_why_and_a_missing_micro_model_is_a_receipt(
    yard: Any, tmp_path: Path
) -> None:
    line = prepared(yard)
    shard = yard.store.shard("yard")
    for name in ("torn", "gone"):
        shutil.copytree(shard.uri, tmp_path / name)
        yard.store.add_shard(replace(shard, shard_id=name, uri=str(tmp_path / name)))
    third = pictures_in(tmp_path / "torn")[2]
    third.write_bytes(third.read_bytes()[:40])
    (receipt,) = label(yard, line, ["torn"], frames_per_clip=64)
    assert (receipt.error, receipt.num_frames, receipt.num_errors) == (None, 7, 1)
    labels, errors = yard.store.line_predictions.read("squares@1", line.models, "torn")
    assert [one.frame_index for one in labels] == [0, 1, 3, 4, 5, 6, 7]
    assert "BadPicture" in errors[2]
    shutil.rmtree(tmp_path / "gone")
    (receipt,) = label(yard, line, ["gone"], frames_per_clip=64)
    assert receipt.error is not None
    assert receipt.error.startswith("no frame could be read, the first: BadInput: ")
    yard.store.objects.delete("models/yard/detection.square/gen-0001/weights.safetensors")
    (receipt,) = label(yard, line, ["yard"], frames_per_clip=64)
    assert receipt.error is not None
    assert receipt.error.startswith("UnknownModel: yard@1")
