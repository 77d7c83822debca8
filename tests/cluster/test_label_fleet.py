"""Labelling on a real Ray: every frame once, whatever happens to the actors."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cluster.cli.main import app
from cluster.label import label_fleet
from training.learning.clip import Clip, ClipReceipt
from training.learning.generation import fit_jobs, plan_fits
from training.learning.label_stream import Begin
from training.learning.labeller import Labeller
from training.learning.labelling import plan_clips
from training.learning.recipes import recipe
from training.loop.going_live import go_live
from training.models.backbones import Backbone
from training.models.micro_model import MicroModel
from training.store.store import Store

Draw = Callable[..., Path]
run = CliRunner()
FRAMES = 16


@pytest.fixture
def fitted(tmp_path: Path, draw: Draw) -> Store:
    """Two shards with a live micro-model each."""
    for number in range(2):
        draw(tmp_path / "data", f"cam{number}", seed=number)
    assert run.invoke(app, ["add", str(tmp_path / "data"), "--store", str(tmp_path / "store")]).exit_code == 0
    store = Store.open(str(tmp_path / "store"))
    how = {"recipe": recipe("smoke"), "backbone": Backbone(weights="none"), "seed": 0}
    receipts = go_live(store, fit_jobs(store, plan_fits(store, None, None, **how).jobs, **how))
    assert [receipt.error for receipt in receipts] == [None, None]
    return store


def frames_labelled(store: Store) -> dict[str, list[int]]:
    """Frames with machine labels, as often as they appear in any object."""
    found: dict[str, list[int]] = {}
    for card in store.registry.live_cards():
        clips = store.predictions.done(card.shard_id, card.ontology, card.generation)
        found[card.shard_id] = [frame for start, stop in clips for frame in range(start, stop)]
        labels, errors = store.predictions.read(card.shard_id, card.ontology, card.generation)
        assert errors == {}
        assert [frame.frame_index for frame in labels] == found[card.shard_id]
    return found


@pytest.mark.usefixtures("two_cpus")
def test_every_frame_is_labelled_once_and_a_second_run_has_nothing_to_do(tmp_path: Path, fitted: Store) -> None:
    words = ["label", "--store", fitted.url, "--workers", "2", "--frames-per-clip", "6", "--json", str(tmp_path / "o.json")]
    result = run.invoke(app, words)
    assert result.exit_code == 0, result.output
    assert frames_labelled(fitted) == {"cam0": list(range(FRAMES)), "cam1": list(range(FRAMES))}
    shards = json.loads((tmp_path / "o.json").read_text())["shards"]
    counts = [(one["shard_id"], one["clips"], one["frames"], one["errors"]) for one in shards]
    assert counts == [("cam0", 3, 16, 0), ("cam1", 3, 16, 0)]
    again = run.invoke(app, words)
    assert again.exit_code == 0
    assert "6 clips were labelled before" in again.stderr
    assert json.loads((tmp_path / "o.json").read_text())["shards"] == []


@pytest.mark.usefixtures("two_cpus")
def test_a_video_that_is_away_is_named_and_labelled_when_it_is_back(tmp_path: Path, fitted: Store) -> None:
    video, words = tmp_path / "data" / "cam0.mp4", ["label", "--store", fitted.url, "--workers", "2"]
    video.rename(tmp_path / "away")
    result = run.invoke(app, words)
    assert result.exit_code == 3, result.output
    assert f"no frame could be read, the first: BadVideo: {video}: no such file" in " ".join(result.stdout.split())
    ontology = fitted.ontologies()[0].name
    assert fitted.predictions.done("cam0", ontology, 1) == []
    assert len(fitted.predictions.read("cam1", ontology, 1)[0]) == FRAMES
    (tmp_path / "away").rename(video)
    assert run.invoke(app, words).exit_code == 0
    assert frames_labelled(fitted) == {"cam0": list(range(FRAMES)), "cam1": list(range(FRAMES))}


@pytest.mark.usefixtures("two_cpus")
def test_a_killed_actor_is_replaced_and_its_clip_labelled(
    fitted: Store, processes_below: Callable[[int, str], list[int]]
) -> None:
    clips = plan_clips(fitted, None, None, frames_per_clip=1).clips
    receipts: list[ClipReceipt] = []
    running = threading.Thread(target=lambda: receipts.extend(label_fleet(fitted.url, clips, num_workers=2)))
    running.start()
    killed = None
    while running.is_alive() and killed is None:
        if any(fitted.predictions.done(name, fitted.ontologies()[0].name, 1) for name in ("cam0", "cam1")):
            killed = processes_below(os.getpid(), "_ClipActor")[0]
            os.kill(killed, signal.SIGKILL)
        time.sleep(0.02)
    running.join()
    assert killed is not None
    assert len(receipts) == len(clips) == 2 * FRAMES
    assert {receipt.error for receipt in receipts} == {None}
    assert frames_labelled(fitted) == {"cam0": list(range(FRAMES)), "cam1": list(range(FRAMES))}


@pytest.mark.slow
@pytest.mark.usefixtures("two_cpus")
def test_a_clip_that_kills_its_process_is_given_up_alone(fitted: Store, tmp_path: Path) -> None:
    clips = plan_clips(fitted, None, None, frames_per_clip=1).clips
    log = tmp_path / "begun"

    class Deadly(Labeller):
        """Dies of frame 2 of cam0, and writes down what it begins and with how many others."""

        def label(self, clips: Sequence[Clip], *, begin: Begin = lambda clip: None) -> Iterator[ClipReceipt]:
            def noted(clip: Clip) -> None:
                begin(clip)
                with log.open("a") as file:
                    file.write(f"{clip.shard_id} {clip.start}, {len(clips)}\n")
                if (clip.shard_id, clip.start) == ("cam0", 2):
                    os.kill(os.getpid(), signal.SIGKILL)

            yield from super().label(clips, begin=noted)

    receipts = label_fleet(fitted.url, clips, num_workers=2, labeller=Deadly)
    errors = {(one.shard_id, one.start): one.error for one in receipts if one.error}
    assert errors == {("cam0", 2): "quarantined: its worker process died in each of 3 attempts"}
    assert sorted((one.shard_id, one.start) for one in receipts) == [
        (name, n) for name in ("cam0", "cam1") for n in range(FRAMES)
    ]
    begun: dict[str, list[int]] = {}
    for line in log.read_text().splitlines():
        what, _, others = line.partition(", ")
        begun.setdefault(what, []).append(int(others))
    together, *alone = begun.pop("cam0 2")
    assert together > 1
    assert alone == [1, 1]
    assert max(len(times) for times in begun.values()) <= 2, "what was not over at the first death is begun once more"
    assert fitted.predictions.done("cam1", fitted.ontologies()[0].name, 1) == [(n, n + 1) for n in range(FRAMES)]


@pytest.mark.slow
@pytest.mark.usefixtures("two_cpus")
def test_a_shard_that_never_answers_is_given_up_when_it_hangs_alone_and_the_others_are_labelled(
    fitted: Store, tmp_path: Path
) -> None:
    clips = plan_clips(fitted, None, None, frames_per_clip=4).clips
    log, shard = tmp_path / "tried", tmp_path / "store" / "shards" / "cam0.json"
    shard.unlink()
    os.mkfifo(shard)  # to open it waits for somebody who writes, and nobody will

    class Noted(Labeller):
        """Writes down how many clips of cam0 it is handed."""

        def label(self, clips: Sequence[Clip], *, begin: Begin = lambda clip: None) -> Iterator[ClipReceipt]:
            if some := [clip for clip in clips if clip.shard_id == "cam0"]:
                with log.open("a") as file:
                    file.write(f"{len(some)} ")
            yield from super().label(clips, begin=begin)

    receipts = label_fleet(fitted.url, clips, num_workers=1, labeller=Noted, still_s=8.0)
    assert {(one.shard_id, one.start): one.error for one in receipts} == {
        (name, start): "given up: at a standstill for 8 s" if name == "cam0" else None
        for name in ("cam0", "cam1")
        for start in (0, 4, 8, 12)
    }
    together, alone = log.read_text().split()
    assert int(together) > int(alone) == 1
    ontology = fitted.ontologies()[0].name
    assert fitted.predictions.done("cam0", ontology, 1) == []
    assert len(fitted.predictions.read("cam1", ontology, 1)[0]) == FRAMES


@pytest.mark.slow
@pytest.mark.usefixtures("two_cpus")
def test_a_clip_whose_source_kills_who_opens_it_is_given_up(fitted: Store) -> None:
    class Fragile(Labeller):
        """Dies of the model of cam0, before any frame of it is decoded."""

        def _model(self, clip: Clip) -> MicroModel:
            if clip.shard_id == "cam0":
                os.kill(os.getpid(), signal.SIGKILL)
            return super()._model(clip)

    clips = plan_clips(fitted, None, None, frames_per_clip=FRAMES).clips
    receipts = label_fleet(fitted.url, clips, num_workers=1, labeller=Fragile)
    errors = {one.shard_id: one.error for one in receipts}
    assert errors == {"cam0": "quarantined: its worker process died in each of 3 attempts", "cam1": None}
