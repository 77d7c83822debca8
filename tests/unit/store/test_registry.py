import errno
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from training.errors import AlreadyExists, BadInput, CorruptModel, StoreFull, StoreUnusable, UnknownModel
from training.store.card import Card
from training.store.decisions import Decision
from training.store.local import LocalObjects
from training.store.store import Store
from training.store.weights import content_hash

PROGRAMS = Path(__file__).parent / "programs"
MODEL = ("dog", "detection.dog")


def weights(value: float = 1.0) -> dict[str, torch.Tensor]:
    return {"head.weight": torch.full((3, 2), value), "steps": torch.tensor([4])}


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(PROGRAMS / program), *arguments]
    root = Path(__file__).parents[3]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=root, env={**environment, "PYTHONPATH": str(root)}, check=False
    )


def files(store: Store) -> set[str]:
    root = Path(store.url)
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


class CardNeverArrives(LocalObjects):
    """A disk that fills up between the weights and the card."""

    def create(self, key: str, data: bytes) -> None:
        if key.endswith("card.json"):
            raise StoreFull(f"{key}: no space")
        super().create(key, data)


class FullDisk(LocalObjects):
    def _write(self, temporary: Path, data: bytes) -> None:
        temporary.write_bytes(data[:10])
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_published_generation_comes_back_with_its_card_and_exact_tensors(store: Store, card: Card) -> None:
    published = store.registry.publish(card, weights(0.1))
    assert published == replace(card, generation=1, weights_sha256=published.weights_sha256, num_bytes=32)
    assert store.registry.card(*MODEL, 1) == published
    loaded = store.registry.load(published)
    assert set(loaded) == {"head.weight", "steps"}
    assert all(torch.equal(loaded[name], tensor) and loaded[name].dtype == tensor.dtype for name, tensor in weights(0.1).items())


def test_the_weights_file_is_plain_safetensors_that_carries_the_card(store: Store, card: Card) -> None:
    from safetensors import safe_open

    published = store.registry.publish(card, weights())
    folder = Path(store.url) / "models/dog/detection.dog/gen-0001"
    with safe_open(folder / "weights.safetensors", framework="pt") as file:
        assert file.metadata()["card"] == (folder / "card.json").read_text()
    assert published.weights_sha256.startswith("sha256:")


def test_tied_and_strided_tensors_can_be_published(store: Store, card: Card) -> None:
    base = torch.arange(6.0).reshape(2, 3)
    published = store.registry.publish(card, {"a": base, "b": base, "turned": base.T})
    assert torch.equal(store.registry.load(published)["turned"], base.T)


def test_generations_are_numbered_from_one_and_the_same_work_is_not_published_twice(store: Store, card: Card) -> None:
    first = store.registry.publish(card, weights())
    second = store.registry.publish(replace(card, fit_key="labels-2", parent=1), weights(2.0))
    again = store.registry.publish(card, weights(3.0))
    assert (first.generation, second.generation, again) == (1, 2, first)
    assert store.registry.generations(*MODEL) == [1, 2]
    assert store.registry.find(*MODEL, "labels-2") == second
    assert store.registry.find(*MODEL, "labels-3") is None


def test_a_generation_asked_for_by_number_is_never_overwritten(store: Store, card: Card) -> None:
    first = store.registry.publish(replace(card, generation=3), weights())
    with pytest.raises(AlreadyExists, match=r"dog@3 detection\.dog"):
        store.registry.publish(replace(card, generation=3, fit_key="other"), weights(9.0))
    assert torch.equal(store.registry.load(first)["head.weight"], weights()["head.weight"])
    assert store.registry.generations(*MODEL) == [3]


def test_eight_racing_processes_publish_only_distinct_complete_generations(store: Store) -> None:
    done = run("race_publish.py", store.url, "8", "20")
    assert done.returncode == 0, done.stderr
    generations = store.registry.generations(*MODEL)
    cards = [store.registry.card(*MODEL, generation) for generation in generations]
    assert generations == list(range(1, 161))
    assert {card.fit_key for card in cards} == {f"{process}-{turn}" for process in range(8) for turn in range(20)}
    for card in cards:
        assert store.registry.load(card)["weight"].tolist() == [float(card.seed * 20 + card.num_labelled)] * 64
    pointers = sorted((Path(store.url) / "models/dog/detection.dog/live").iterdir())
    assert [path.name for path in pointers] == [f"{number:04d}.json" for number in range(1, 161)]
    assert not list((Path(store.url) / ".tmp").iterdir())


def test_a_publisher_killed_between_weights_and_card_loses_nothing(store: Store, card: Card) -> None:
    done = run("die_publishing.py", store.url, "card.json", "lost-work")
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert store.registry.generations(*MODEL) == []
    with pytest.raises(UnknownModel):
        store.registry.resolve("dog@1")
    published = store.registry.publish(card, weights())
    assert published.generation == 2
    recovered = store.registry.card(*MODEL, 1)
    assert (recovered.fit_key, recovered.seed) == ("lost-work", 7)
    assert torch.equal(store.registry.load(recovered)["weight"], torch.arange(5.0))


def test_a_killed_publishers_work_is_found_again_instead_of_fitted_again(store: Store, card: Card) -> None:
    run("die_publishing.py", store.url, "card.json", "lost-work")
    found = store.registry.find(*MODEL, "lost-work")
    assert found is not None
    assert store.registry.publish(replace(card, fit_key="lost-work"), weights()) == found
    assert store.registry.generations(*MODEL) == [1]


def test_a_publisher_killed_before_its_commit_leaves_nothing_visible(store: Store, card: Card) -> None:
    done = run("die_publishing.py", store.url, "temporary", "lost-work")
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(list((Path(store.url) / ".tmp").iterdir())) == 1
    assert store.objects.keys("") == ["store.json"]
    assert store.registry.publish(card, weights()).generation == 1
    assert isinstance(store.objects, LocalObjects)
    assert store.objects.sweep(older_than_s=-1.0) == 1


def test_a_full_disk_during_publish_leaves_nothing_behind(store: Store, card: Card) -> None:
    before = files(store)
    with pytest.raises(StoreFull, match=r"gen-0001/weights\.safetensors.*No space left"):
        Store(FullDisk(store.url)).registry.publish(card, weights())
    assert files(store) == before
    assert store.registry.generations(*MODEL) == []


def test_a_disk_that_fills_up_after_the_weights_shows_nothing_and_is_completed_later(store: Store, card: Card) -> None:
    with pytest.raises(StoreFull):
        Store(CardNeverArrives(store.url)).registry.publish(card, weights())
    assert store.registry.generations(*MODEL) == []
    assert store.registry.publish(card, weights()).generation == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a tiny disk needs root")
def test_a_really_full_disk_is_named_and_nothing_is_left(tmp_path: Path, card: Card) -> None:
    tiny = tmp_path / "tiny"
    tiny.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(tiny)], capture_output=True, check=False
    ).returncode:
        pytest.skip("this container may not mount")
    try:
        store = Store.create(str(tiny / "store"))
        before = files(store)
        with pytest.raises(StoreFull):
            store.registry.publish(card, {"weight": torch.zeros(200_000)})
        assert files(store) == before
        assert store.registry.publish(card, weights()).generation == 1
    finally:
        subprocess.run(["umount", str(tiny)], check=True)


def test_damaged_weights_are_refused(store: Store, card: Card) -> None:
    published = store.registry.publish(card, weights())
    path = Path(store.url) / "models/dog/detection.dog/gen-0001/weights.safetensors"
    whole = path.read_bytes()
    for damaged in (whole[:-1] + b"\x07", whole[:-4], b"", b"\xff" * 40):
        path.write_bytes(damaged)
        with pytest.raises(CorruptModel, match=r"dog@1 detection\.dog"):
            store.registry.load(published)


def test_the_last_promotion_answers_and_a_rollback_appends(store: Store, card: Card) -> None:
    assert store.registry.live(*MODEL) is None
    store.registry.publish(card, weights())
    store.registry.publish(replace(card, fit_key="2"), weights())
    for generation in (1, 2, 1):
        store.registry.promote(*MODEL, generation, "test")
        assert store.registry.live(*MODEL) == generation
    pointers = [key for key in store.objects.keys("models/") if "/live/" in key]
    assert pointers == [f"models/dog/detection.dog/live/{number:04d}.json" for number in (1, 2, 3)]
    with pytest.raises(UnknownModel, match=r"dog@5 detection\.dog: not published, there is \[1, 2\]"):
        store.registry.promote(*MODEL, 5, "test")
    assert store.registry.live(*MODEL) == 1


def test_references_resolve_to_live_or_numbered_generations(store: Store, card: Card) -> None:
    store.registry.publish(card, weights())
    second = store.registry.publish(replace(card, fit_key="2"), weights())
    store.registry.promote(*MODEL, 2, "better")
    assert store.registry.resolve("dog") == store.registry.resolve("dog@live") == second
    assert store.registry.resolve("dog@1", "detection.dog").generation == 1


@pytest.mark.parametrize(
    ("ref", "ontology", "message"),
    [
        ("dog@9", None, "not published"),
        ("dog@latest", None, "needed 'live' or a number"),
        ("dog@-1", None, "needed 'live' or a number"),
        ("cat", None, "there is none"),
        ("dog", "detection.cat", "detection.dog"),
        ("../../etc@1", None, "needed 1 to 200"),
        ("dog@", "../x", "detection.dog"),
        ("", None, "needed 1 to 200"),
    ],
)
def test_a_reference_that_means_nothing_is_an_unknown_model(
    store: Store, card: Card, ref: str, ontology: str | None, message: str
) -> None:
    store.registry.publish(card, weights())
    with pytest.raises(UnknownModel, match=message):
        store.registry.resolve(ref, ontology)


def test_a_published_but_never_promoted_model_is_not_live(store: Store, card: Card) -> None:
    store.registry.publish(card, weights())
    with pytest.raises(UnknownModel, match=r"no live generation, published are \[1\]"):
        store.registry.resolve("dog")
    assert list(store.registry.live_cards()) == []


def test_two_ontologies_must_be_told_apart(store: Store, card: Card) -> None:
    store.registry.publish(card, weights())
    store.registry.publish(replace(card, ontology="detection.cat"), weights())
    with pytest.raises(UnknownModel, match=r"dog: needed one ontology that has models: detection\.cat, detection\.dog"):
        store.registry.resolve("dog@1")
    assert store.registry.resolve("dog@1", "detection.cat").ontology == "detection.cat"


class CountingReads(LocalObjects):
    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.read_keys: list[str] = []

    def read(self, key: str) -> bytes:
        self.read_keys.append(key)
        return super().read(key)


def test_live_cards_reads_one_pointer_and_one_card_for_each_live_model(store: Store, card: Card) -> None:
    for number in range(4):
        mine = replace(card, shard_id=f"dog{number}")
        for turn in range(3):
            store.registry.publish(replace(mine, fit_key=str(turn)), weights())
            store.registry.promote(mine.shard_id, mine.ontology, turn + 1, "newest")
        store.registry.promote(mine.shard_id, mine.ontology, 2, "rollback")
    objects = CountingReads(store.url)
    found = [card.ref for card in Store(objects).registry.live_cards()]
    assert found == ["dog0@2", "dog1@2", "dog2@2", "dog3@2"]
    assert len(objects.read_keys) == 8
    assert not [key for key in objects.read_keys if key.endswith("safetensors")]


def test_files_of_other_software_among_the_models_are_passed_over(store: Store, card: Card) -> None:
    store.registry.publish(card, weights())
    store.registry.promote(card.shard_id, card.ontology, 1, "first")
    for folder in ("models", f"models/{card.shard_id}", f"models/{card.shard_id}/{card.ontology}"):
        (Path(store.url) / folder / ".nfs000123").write_bytes(b"")
    assert [one.ref for one in store.registry.live_cards()] == [f"{card.shard_id}@1"]
    assert store.registry.ontologies(card.shard_id) == [card.ontology]


@pytest.mark.parametrize("metrics", [{"recall": float("nan")}, {"recall": float("inf")}])
def test_a_card_with_numbers_json_cannot_hold_is_refused(card: Card, metrics: dict[str, float]) -> None:
    with pytest.raises(BadInput, match="dog@0: recall is"):
        replace(card, metrics=metrics)


def test_cards_survive_json_and_ignore_keys_of_newer_versions(card: Card) -> None:
    assert Card.from_json({**card.to_json(), "invented_later": 1}) == card
    with pytest.raises(StoreUnusable, match="classes"):
        Card.from_json({key: value for key, value in card.to_json().items() if key != "classes"})


def test_a_refused_generation_is_published_not_live_and_keeps_the_first_reason(store: Store, card: Card) -> None:
    registry = store.registry
    for fit_key in ("1", "2"):
        registry.publish(replace(card, fit_key=fit_key), weights())
    registry.promote(*MODEL, 1, "first")
    assert registry.decision(*MODEL, 2) is None
    for reason in ("worse", "said again"):
        registry.decide(*MODEL, Decision(generation=2, promoted=False, reason=reason, verdict={"status": "worse"}))
    refusal = registry.decision(*MODEL, 2)
    assert refusal is not None
    assert (refusal.promoted, refusal.reason, refusal.status) == (False, "worse", "worse")
    assert (registry.live(*MODEL), registry.generations(*MODEL)) == (1, [1, 2])
    assert [found.ref for found in registry.live_cards()] == ["dog@1"]


def test_a_promotion_by_hand_overrules_a_refusal(store: Store, card: Card) -> None:
    store.registry.publish(card, weights())
    store.registry.decide(*MODEL, Decision(generation=1, promoted=False, reason="worse", verdict={"status": "worse"}))
    store.registry.promote(*MODEL, 1, "I looked at it")
    decision = store.registry.decision(*MODEL, 1)
    assert decision is not None
    assert (decision.promoted, decision.reason, decision.status) == (True, "I looked at it", "by hand")
    assert store.registry.live(*MODEL) == 1


def test_only_what_is_published_can_be_decided_on(store: Store, card: Card) -> None:
    store.registry.publish(card, weights())
    with pytest.raises(UnknownModel, match="not published"):
        store.registry.decide(*MODEL, Decision(generation=2, promoted=False, reason="worse"))
    assert store.registry.decision(*MODEL, 2) is None


def test_weights_are_hashed_once_in_a_registry_and_cut_ones_are_refused_all_the_same(
    store: Store, card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = store.registry.publish(card, weights())
    hashed: list[str] = []

    def noted(file: bytes, where: str) -> str:
        hashed.append(where)
        return content_hash(file, where)

    monkeypatch.setattr("training.store.weights.content_hash", noted)
    for _ in range(3):
        assert set(store.registry.load(published)) == set(weights())
    assert len(hashed) == 1
    Store.open(store.url).registry.load(published)
    assert len(hashed) == 2, "another process trusts nobody"
    path = next(Path(store.url).rglob("weights.safetensors"))
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(CorruptModel, match="no safetensors file"):
        store.registry.load(published)


def test_a_damaged_pointer_is_named(store: Store, card: Card) -> None:
    store.registry.publish(card, weights())
    store.objects.create("models/dog/detection.dog/live/0001.json", b'{"reason": "of nothing"}')
    with pytest.raises(StoreUnusable, match=r"live/0001\.json.*needed a generation and a reason"):
        store.registry.live(*MODEL)
