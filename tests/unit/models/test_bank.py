from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from training.data.frames import Frame
from training.data.ontology import Ontology
from training.errors import WrongShape
from training.models.backbones import empty_trunk
from training.models.bank import Bank
from training.models.cache import ModelCache
from training.models.micro_model import MicroModel
from training.models.network import DenseConfig, DenseNetwork
from training.store.card import Card
from training.store.store import Store

ONTOLOGY = Ontology(name="things", task="detection", classes=("thing",))
EVERYTHING = {"fewest": [99], "most": [99], "min_scores": [0.0, 0.0, 0.0]}


def random_model(seed: int, scale: float = 1.0) -> MicroModel:
    torch.manual_seed(seed)
    branches = {"heat": 1, "box": 4}
    config = DenseConfig(backbone="mobilenet_v3_small", scale=scale, output_stride=8, neck_channels=8, branches=branches)
    network = DenseNetwork(empty_trunk("mobilenet_v3_small"), config).eval()
    for norm in (module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)):
        torch.nn.init.uniform_(norm.running_mean, -0.1, 0.1)
        torch.nn.init.uniform_(norm.running_var, 0.5, 1.5)
    return MicroModel(shard_id=f"shard-{seed}", ontology=ONTOLOGY, network=network, decoding=EVERYTHING)


def frame(index: int, size: tuple[int, int] = (64, 96)) -> Frame:
    image = np.random.default_rng(index).integers(0, 256, (*size, 3), np.uint8)
    return Frame(shard_id="any", frame_index=index, image_HW3=image)


def card_of(model: MicroModel) -> Card:
    return Card(shard_id=model.shard_id, ontology="things", task="detection", classes=("thing",), network=model.to_json())


def test_a_mixed_batch_answers_as_each_model_alone_does() -> None:
    models = [random_model(0), random_model(1, scale=0.5)]
    frames = [frame(i, (64, 96) if i % 3 else (48, 64)) for i in range(7)]
    which = [0, 1, 1, 0, 1, 0, 0]
    together = Bank(models).predict(frames, which)
    assert [labels.frame_index for labels in together] == list(range(7))
    for one, index, answer in zip(frames, which, together, strict=True):
        (alone,) = Bank([models[index]]).predict([one], [0])
        np.testing.assert_allclose([a.score for a in answer.annotations], [a.score for a in alone.annotations], atol=1e-5)
        assert len(answer.annotations) > 0


def test_frames_that_do_not_fit_into_one_pass_are_spread_over_passes_evenly() -> None:
    model, seen = random_model(0), []
    model.network.trunk.register_forward_pre_hook(lambda _, taken: seen.append(len(taken[0])))
    labels = Bank([model], pixels_per_pass=4 * 64 * 96).predict([frame(i) for i in range(13)], [0] * 13)
    assert seen == [3, 3, 3, 4]
    assert [one.frame_index for one in labels] == list(range(13))


def test_restoring_from_the_store_gives_the_same_answers_with_folded_norms(tmp_path: Path) -> None:
    model = random_model(3)
    registry = Store.create(str(tmp_path / "store")).registry
    card = registry.publish(card_of(model), model.tensors())
    restored = ModelCache(registry, 10**9).get(card)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in restored.network.modules())
    (before,), (after,) = (Bank([one]).predict([frame(0)], [0]) for one in (model, restored))
    np.testing.assert_allclose([a.bbox_xyxy for a in after.annotations], [a.bbox_xyxy for a in before.annotations], atol=1e-3)


def test_a_frame_without_a_model_is_refused() -> None:
    with pytest.raises(WrongShape, match="2 frames with 1 model indices"):
        Bank([random_model(0)]).predict([frame(0), frame(1)], [0])


def test_the_cache_counts_bytes_and_drops_the_least_recently_used(tmp_path: Path) -> None:
    registry = Store.create(str(tmp_path / "store")).registry
    cards = [registry.publish(card_of(model), model.tensors()) for model in (random_model(i) for i in range(3))]
    size = ModelCache(registry, 10**9).get(cards[0]).num_bytes
    cache = ModelCache(registry, int(2.5 * size))
    first = cache.get(cards[0])
    cache.get(cards[1])
    assert cache.get(cards[0]) is first, "still there"
    cache.get(cards[2])
    assert cache.get(cards[0]) is first, "used lately: number 1 had to go"
    assert cache.num_bytes == 2 * size


def test_many_threads_asking_for_one_model_load_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Store.create(str(tmp_path / "store")).registry
    model = random_model(0)
    card = registry.publish(card_of(model), model.tensors())
    loads: list[str] = []
    load = registry.load
    monkeypatch.setattr(registry, "load", lambda card: (loads.append(card.ref), load(card))[1])
    cache = ModelCache(registry, 10**9)
    with ThreadPoolExecutor(8) as pool:
        models = set(map(id, pool.map(cache.get, [card] * 32)))
    assert len(models) == 1
    assert loads == [card.ref]
