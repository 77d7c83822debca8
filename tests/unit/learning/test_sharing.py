"""From fits to stores and back: what a micro-model keeps, what it shares, and that it says the same put together again."""

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from training import load
from training.data.annotations import Annotation, FrameLabels
from training.data.frames import Frame
from training.data.ontology import Ontology
from training.data.rle import encode
from training.data.sources import probe
from training.errors import CorruptModel, UnknownModel
from training.learning.fit import fit_bank
from training.learning.gather import gather
from training.learning.generation import fit_jobs, plan_fits
from training.learning.recipes import Recipe, smoke
from training.loop.going_live import go_live
from training.models.backbones import Backbone
from training.models.bank import Bank
from training.models.bases import with_base
from training.models.cache import ModelCache
from training.models.micro_model import MicroModel
from training.models.networks import Network, config_of, num_stages
from training.models.precision import Precision
from training.models.shared_trunk import SharedTrunk
from training.models.skeletons import trunk_norms
from training.models.tasks import GridTask
from training.store.card import Card
from training.store.store import Store

EXACT = Precision.float32  # what is compared is more alike than bfloat16 is
NAME = "mobilenet_v3_small"
SCRATCH = Backbone(name=NAME, weights="none")
TINY = replace(smoke(), steps=2, batch_size=2, continued_steps=2)
RECIPES = {
    "head": replace(TINY, name="head", parameters="head", cached_views=2),
    "film": replace(TINY, name="film", parameters="film"),
    "full": TINY,
}
TASKS = ("detection", "segmentation", "keypoints", "classification")
STORE_PAGE = Path(__file__).parents[3] / "docs" / "store.md"


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    """Random weights whose norms have seen pictures, in a file as if somebody had trained them."""
    torch.manual_seed(5)
    model = torchvision.models.get_model(NAME, weights=None)
    with torch.no_grad():
        for _ in range(5):
            model(torch.randn(4, 3, 64, 64))
    path = tmp_path_factory.mktemp("weights") / "start.pth"
    torch.save(model.state_dict(), path)
    return Backbone(name=NAME, weights=str(path))


def ontology(task: str) -> Ontology:
    points = {"keypoints": ("top", "bottom"), "skeleton": ((0, 1),)} if task == "keypoints" else {}
    return Ontology(name=task, task=task, classes=("left", "right"), **points)  # type: ignore[arg-type]


def said(task: str, frame: Frame, labels: FrameLabels) -> FrameLabels:
    """What the square of a frame is for a task."""
    (box,) = labels.annotations
    x1, y1, x2, y2 = (int(value) for value in box.bbox_xyxy or ())
    mask_HW = np.zeros(frame.image_HW3.shape[:2], dtype=bool)
    mask_HW[y1:y2, x1:x2] = True
    box = replace(box, class_name="left" if x1 < 40 else "right")
    one = {
        "detection": box,
        "segmentation": replace(box, rle_counts=encode(mask_HW)),
        "keypoints": replace(box, keypoints_xyv=(x1, y1, 2, x2, y2, 2)),
        "classification": Annotation(class_name=box.class_name, level="image"),
    }[task]
    return FrameLabels(shard_id=frame.shard_id, frame_index=frame.frame_index, annotations=(one,))


def store_with(folder: Path, squares: Any, tasks: tuple[str, ...], shards: tuple[str, ...] = ("a",)) -> Store:
    store = Store.create(str(folder / "store"))
    for shard_id in shards:
        (folder / shard_id).mkdir(exist_ok=True)
        labelled = squares.labelled(6, shard_id=shard_id)
        for frame in labelled.frames:
            Image.fromarray(frame.image_HW3).save(folder / shard_id / f"{frame.frame_index}.png")
        store.add_shard(probe(folder / shard_id, shard_id=shard_id))
        for task in tasks:
            store.add_ontology(ontology(task))
            pairs = list(zip(labelled.frames, labelled.labels, strict=True))[:3]
            store.annotate(shard_id, task, [said(task, frame, labels) for frame, labels in pairs])
    return store


def fit(store: Store, recipe: Recipe, backbone: Backbone, seed: int = 0, shards: tuple[str, ...] | None = None) -> list[Card]:
    how: dict[str, Any] = {"recipe": recipe, "backbone": backbone, "seed": seed}
    receipts = go_live(store, fit_jobs(store, plan_fits(store, shards, None, **how).jobs, **how))
    assert [receipt.error for receipt in receipts] == [None] * len(receipts)
    return [store.registry.card(one.shard_id, one.ontology, one.generation or 0) for one in receipts]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, squares: Any, pretrained: Backbone) -> Store:
    """Shards fitted in different ways, each for all tasks."""
    store = store_with(tmp_path_factory.mktemp("world"), squares, TASKS, tuple(WAYS))
    for shard_id, (recipe, start) in WAYS.items():
        fit(store, RECIPES[recipe], pretrained if start == "pretrained" else SCRATCH, shards=(shard_id,))
    return store


WAYS = {
    "a": ("head", "pretrained"),
    "b": ("film", "pretrained"),
    "c": ("head", "scratch"),
    "d": ("film", "scratch"),
    "e": ("full", "pretrained"),
}
NORMS = {norm.name for norm in trunk_norms(NAME)}
WEIGHTS, STATISTICS = {"weight", "bias"}, {"running_mean", "running_var", "num_batches_tracked"}
OF_NORMS = {"a": set(), "b": WEIGHTS, "c": STATISTICS, "d": WEIGHTS | STATISTICS}


def in_trunk(names: set[str]) -> set[tuple[str, str]]:
    """Module and tensor of what a network's trunk has."""
    inside = {name[name.index("stages.") :].rpartition(".") for name in names if "stages." in name}
    return {(module, tensor) for module, _, tensor in inside}


@pytest.mark.parametrize("shard_id", OF_NORMS)
@pytest.mark.parametrize("task", ["detection", "segmentation", "keypoints"])
def test_a_generation_keeps_its_head_and_those_norms_that_changed(world: Store, shard_id: str, task: str) -> None:
    card = world.registry.resolve(shard_id, task)
    kept = in_trunk(set(world.registry.load(card)))
    assert {module for module, _ in kept} == (NORMS if OF_NORMS[shard_id] else set())
    assert {tensor for _, tensor in kept} == OF_NORMS[shard_id]
    assert card.base is not None
    assert card.base.startswith(f"{NAME}-")


@pytest.mark.parametrize("shard_id", WAYS)
def test_a_classification_keeps_no_trunk_whatever_the_recipe_and_from_scratch_its_statistics(world: Store, shard_id: str) -> None:
    card = world.registry.resolve(shard_id, "classification")
    kept = in_trunk(set(world.registry.load(card)))
    assert {tensor for _, tensor in kept} == (STATISTICS if WAYS[shard_id][1] == "scratch" else set())
    assert card.base is not None


def test_a_whole_network_that_was_fitted_needs_no_base(world: Store) -> None:
    card = world.registry.resolve("e", "detection")
    assert card.base is None
    assert {module for module, _ in in_trunk(set(world.registry.load(card)))} > NORMS


def test_every_start_lies_in_the_store_once(world: Store) -> None:
    bases = {world.registry.resolve(shard_id, task).base for shard_id in WAYS for task in TASKS} - {None}
    assert [f"backbones/{name}.safetensors" for name in sorted(map(str, bases))] == world.objects.keys("backbones/")
    assert len(bases) == 2, "one pre-trained and one drawn with the seed, for all shards and tasks"


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("shard_id", ["b", "c"])
def test_a_model_says_the_same_after_the_store_as_before(world: Store, shard_id: str, task: str, pretrained: Backbone) -> None:
    recipe, start = WAYS[shard_id]
    backbone = pretrained if start == "pretrained" else SCRATCH
    labelled = replace(gather(world, shard_id, task, RECIPES[recipe]), start=None)
    fitted = fit_bank([labelled], recipe=RECIPES[recipe], backbone=backbone).models[shard_id]
    stored = ModelCache(world.registry, 10**9, precision=EXACT).get(world.registry.resolve(shard_id, task))
    assert_near(stored.network, fitted.network)
    assert stored.decoding == fitted.decoding


def test_a_reader_of_safetensors_has_a_whole_network_as_the_page_says(world: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    (program,) = re.findall(r"```python\n(import json.*?)```", STORE_PAGE.read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(Path(world.url).parent)
    for shard_id in WAYS:
        for task in TASKS:
            card = world.registry.resolve(shard_id, task)
            found: dict[str, Any] = {}
            exec(program.replace("models/dog/detection.dog", f"models/{shard_id}/{task}"), found)
            model = MicroModel.restore(shard_id, 1, card.network, whole(found["tensors"], card), precision=EXACT)
            ours = ModelCache(world.registry, 10**9, precision=EXACT).get(card)
            assert_near(ours.network, model.network)


@torch.inference_mode()
def assert_near(found: Network, wanted: Network) -> None:
    x_N3HW = torch.from_numpy(np.stack([picture(n, (64, 96)).image_HW3 for n in range(3)])).permute(0, 3, 1, 2) / 255
    outputs = found(x_N3HW)
    for branch, output in wanted(x_N3HW).items():
        torch.testing.assert_close(outputs[branch], output, atol=1e-3 * float(output.abs().max()), rtol=0)


def whole(tensors: dict[str, torch.Tensor], card: Card) -> dict[str, torch.Tensor]:
    """Without what a grid has no use for, as the page says."""
    stages = num_stages(config_of(card.network))
    deeper = {name for name in tensors if name.startswith("stages.") and int(name.split(".")[1]) >= stages}
    return {name: tensor for name, tensor in tensors.items() if name not in deeper}


def test_many_models_answer_together_what_each_says_alone(world: Store) -> None:
    cache = ModelCache(world.registry, 10**9, precision=EXACT)
    cards = [world.registry.resolve(shard_id, task) for task in TASKS for shard_id in WAYS]
    together = [open_minded(cache.get(card)) for card in cards]
    alone = [open_minded(by_itself(world, card)) for card in cards]
    frames = [picture(n, (64, 96) if n % 3 else (48, 64)) for n in range(2 * len(cards))]
    which = [n % len(cards) for n in range(2 * len(cards))]
    assert_same(Bank(together).predict(frames, which), [Bank(alone).predict([f], [w])[0] for f, w in zip(frames, which)])


def test_many_models_see_large_frames_in_the_same_pieces_together_as_alone(world: Store) -> None:
    cache = ModelCache(world.registry, 10**9, precision=EXACT)
    cards = [world.registry.resolve(shard_id, task) for task in ("detection", "segmentation") for shard_id in "abcd"]
    models = {"together": [cache.get(card) for card in cards], "alone": [by_itself(world, card) for card in cards]}
    said = {}
    for name, some in models.items():
        large = [replace(model, network=scaled(model.network, 1.0)) for model in some]
        bank = Bank([open_minded(model) for model in large], pixels_per_pass=150_000)
        said[name] = bank.predict([picture(n, (256, 768)) for n in range(len(cards))], list(range(len(cards))))
    assert_same(said["together"], said["alone"])


def test_a_shared_trunk_sees_a_picture_once_for_all_models(world: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, batches = ModelCache(world.registry, 10**9, precision=EXACT), []
    maps = SharedTrunk.maps

    def counted(shared: SharedTrunk, x_NCHW: torch.Tensor, *more: Any) -> list[torch.Tensor]:
        batches.append(len(x_NCHW))
        return maps(shared, x_NCHW, *more)

    monkeypatch.setattr(SharedTrunk, "maps", counted)
    models = [cache.get(world.registry.resolve(shard_id, "detection")) for shard_id in "abcd"]
    alike = [replace(model, network=scaled(model.network, 1.0)) for model in models]
    Bank(alike).predict([picture(n, (64, 96)) for n in range(8)], [0, 1, 2, 3, 0, 1, 2, 3])
    assert sorted(batches) == [2, 2, 4], "a alone has the base's own norms, b, and c with d, are of one base each"


def test_the_next_generation_goes_on_from_one_that_shares_and_shares_the_same(tmp_path: Path, squares: Any) -> None:
    store = store_with(tmp_path, squares, ("detection",))
    (first,) = fit(store, RECIPES["head"], SCRATCH)
    (second,) = fit(store, RECIPES["head"], SCRATCH, seed=1)
    assert second.started_from == "a@1"
    assert second.base == first.base, "although seed 1 starts elsewhere"
    (third,) = fit(store, RECIPES["full"], SCRATCH)
    assert (third.started_from, third.base) == ("a@2", None)
    (fourth,) = fit(store, RECIPES["head"], SCRATCH, seed=2)
    assert (fourth.started_from, fourth.base) == ("a@3", None), "a trunk that was fitted is shared with nobody"
    assert len(store.objects.keys("backbones/")) == 1


def test_a_base_that_is_gone_or_damaged_is_named_by_whoever_needs_it(tmp_path: Path, world: Store, squares: Any) -> None:
    shutil.copytree(Path(world.url).parent, tmp_path, dirs_exist_ok=True)
    card = world.registry.resolve("b", "detection")
    path = tmp_path / "store" / "backbones" / f"{card.base}.safetensors"
    part = next(path.parents[1].glob("models/b/detection/gen-0001/weights.safetensors"))
    path.write_bytes(path.read_bytes()[:-4] + b"1234")
    for problem in (CorruptModel, UnknownModel):
        store = Store.open(str(tmp_path / "store"))
        cache = ModelCache(store.registry, 10**9)
        for _ in range(2):
            with pytest.raises(problem, match=f"backbone {card.base}"):
                cache.get(card)
        assert cache.num_bytes == 0
        with pytest.raises(problem, match=f"backbone {card.base}"):
            load(part)
        assert gather(store, "b", "detection", RECIPES["full"]).start is None, "starts from the backbone instead"
        path.unlink(missing_ok=True)


def test_a_file_of_a_store_is_whole_in_a_notebook_and_when_it_is_saved(world: Store, tmp_path: Path, squares: Any) -> None:
    image_HW3 = squares.frame(4)[0].image_HW3
    for shard_id, task in (("b", "detection"), ("c", "classification")):
        model = load(Path(world.url) / "models" / shard_id / task / "gen-0001" / "weights.safetensors")
        assert model.card.base is None
        model.save(tmp_path / "whole.safetensors")
        assert load(tmp_path / "whole.safetensors")(image_HW3) == model(image_HW3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_says_of_many_models_together_what_it_says_of_each_alone(world: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    cache = ModelCache(world.registry, 10**9, "cuda", precision=EXACT)
    cards = [world.registry.resolve(shard_id, task) for task in TASKS for shard_id in WAYS]
    together = Bank([open_minded(cache.get(card)) for card in cards], "cuda")
    alone = [Bank([open_minded(by_itself(world, card, "cuda"))], "cuda") for card in cards]
    frames = [picture(n, (64, 96)) for n in range(len(cards))]
    wanted = [bank.predict([frame], [0])[0] for bank, frame in zip(alone, frames)]
    assert_same(together.predict(frames, range(len(cards))), wanted)


def by_itself(store: Store, card: Card, device: str = "cpu") -> MicroModel:
    """The micro-model with a network of its own."""
    tensors = store.registry.load(card)
    if card.base is not None:
        tensors = with_base(config_of(card.network), tensors, store.registry.bases.load(card.base))
    return MicroModel.restore(card.shard_id, card.generation, card.network, tensors, device=device, precision=EXACT)


def open_minded(model: MicroModel) -> MicroModel:
    """Says everything that it half believes, so that there is something to compare."""
    if isinstance(model.task, GridTask):
        return model
    return replace(model, decoding={**model.task.permissive(model.decoding), "background": False})


def scaled(network: Network, scale: float) -> Network:
    network.config = replace(network.config, scale=scale)  # type: ignore[assignment]
    return network


def picture(seed: int, size: tuple[int, int]) -> Frame:
    """Of the kind that the models were fitted to, and not flat anywhere."""
    height, width = size
    random = np.random.default_rng(seed)
    image_HW3 = random.integers(20, 40, (height, width, 3)).astype(np.uint8)
    image_HW3[..., 0] += np.linspace(0, 70, width).astype(np.uint8)
    x, y = random.integers(width - 24), random.integers(height - 24)
    image_HW3[y : y + 24, x : x + 24] = (230, 200, 40)
    return Frame(shard_id="any", frame_index=seed, image_HW3=image_HW3)


def assert_same(found: list[FrameLabels], wanted: list[FrameLabels]) -> None:
    assert [one.frame_index for one in found] == [one.frame_index for one in wanted]
    assert sum(len(one.annotations) for one in wanted) >= len(wanted)
    for some, others in zip(found, wanted, strict=True):
        assert [a.class_name for a in some.annotations] == [a.class_name for a in others.annotations]
        for one, other in zip(some.annotations, others.annotations, strict=True):
            assert one.score == pytest.approx(other.score, abs=5e-4)
            assert one.bbox_xyxy == pytest.approx(other.bbox_xyxy, abs=0.05)
