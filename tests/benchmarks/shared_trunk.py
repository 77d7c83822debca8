"""What micro-models cost that share a trunk, against the same with a network each: answers, cold loads, bytes; ratios of one run.

    OMP_NUM_THREADS=1 python tests/benchmarks/shared_trunk.py --backbone mobilenet_v2 --size 288 160
    OMP_NUM_THREADS=1 python tests/benchmarks/shared_trunk.py --backbone resnet18 --size 160 96 --task classification

Nothing is fitted: heads and norms are drawn, since what they say does not matter here. Micro-models of every recipe are
published to a store that is thrown away, and loaded from there. "Alone" is a network of its own with all tensors in it and
norms folded into convolutions, asked for its own picture; "together" is one call for all pictures. Both take turns and the
fastest round of each counts, in processor time of the one thread where there is no GPU, which other work on the machine changes
less. Decoding and resizing are in it.

"Before" is how a micro-model was loaded while nothing was shared: the whole network from the file, torchvision's network built, a
forward pass to see what its stages give, the tensors copied in, norms folded. Neither reading the card nor checking hashes is in
it; the latter is in "now".
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import cycle, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from training.data.frames import Frame
from training.data.ontology import Ontology
from training.models.backbones import empty_trunk
from training.models.bank import Bank
from training.models.bases import own_tensors, with_base
from training.models.cache import ModelCache
from training.models.device import best_device
from training.models.grid import GridConfig, GridNetwork
from training.models.micro_model import MicroModel
from training.models.network import DenseConfig, DenseNetwork
from training.models.networks import Config, Network, config_of
from training.models.tasks import GridTask, task_for
from training.store.bases import Base
from training.store.card import Card
from training.store.store import Store

RECIPES = ("head", "film", "full")
COUNTS = (1, 2, 4, 8, 16)
DECODING: dict[str, dict[str, Any]] = {
    "detection": {"fewest": [1], "most": [1], "min_scores": [0.5, 0.3, 0.15]},
    "segmentation": {"background": True},
    "classification": {"one_class": False, "min_score": 0.5},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="mobilenet_v2")
    parser.add_argument("--task", choices=sorted(DECODING), default="detection")
    parser.add_argument(
        "--size", type=int, nargs=2, default=(288, 160), metavar=("WIDTH", "HEIGHT"), help="of the network's input"
    )
    parser.add_argument("--rounds", type=int, default=8, help="of each way; the fastest counts")
    parser.add_argument("--device", default=str(best_device()))
    asked = parser.parse_args()
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        store = Store.create(folder)
        world = World(store, asked.backbone, asked.task, asked.size, torch.device(asked.device))
        cards = {recipe: [world.publish(recipe, number) for number in range(max(COUNTS))] for recipe in RECIPES}
        print(f"{asked.backbone}, {asked.task}, input {asked.size[0]}x{asked.size[1]}, {asked.device}")
        world.tell_bytes(cards)
        world.tell_loads(cards, asked.rounds)
        world.tell_answers(cards, asked.rounds)


class World:
    """Micro-models of one backbone and task, and how they are compared."""

    def __init__(self, store: Store, backbone: str, task: str, size: tuple[int, int], device: torch.device) -> None:
        self.store, self.backbone, self.device = store, backbone, device
        self.ontology = Ontology(name=task, task=task, classes=("thing",))  # type: ignore[arg-type]
        self.trunk = settled(empty_trunk(backbone))
        self.base = Base.of(backbone, {name: x.clone() for name, x in self.trunk.state_dict().items()})
        kind = task_for(self.ontology)
        values: dict[str, Any] = {
            "backbone": backbone,
            "scale": 0.5,
            "output_stride": kind.output_stride,
            "branches": kind.branches(),
        }
        self.config: Config
        if isinstance(kind, GridTask):
            rows, columns = (side // kind.output_stride for side in (size[1], size[0]))
            self.config = GridConfig(**values, cells=kind.cells, typical_hw=(rows, columns))
        else:
            self.config = DenseConfig(**values, neck_channels=64, coordinates=kind.coordinates)
        images = np.random.default_rng(0).integers(0, 256, (max(COUNTS), 2 * size[1], 2 * size[0], 3), np.uint8)
        self.frames = [Frame(shard_id="any", frame_index=n, image_HW3=image) for n, image in enumerate(images)]

    def publish(self, recipe: str, number: int, shard_id: str | None = None) -> Card:
        """A micro-model whose own parameters are drawn anew, and not live yet."""
        self.trunk.load_state_dict(self.base.tensors)
        network = self.network()
        for module in network.modules():
            if recipe != "head" and isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.9, 1.1)
                nn.init.uniform_(module.bias, -0.1, 0.1)
            if recipe == "full" and isinstance(module, nn.Conv2d):
                module.weight.mul_(1 + 1e-3 * number).add_(1e-6)
        model = MicroModel(
            shard_id=shard_id or f"{recipe}-{number}",
            ontology=self.ontology,
            network=network,
            decoding=DECODING[self.ontology.task],
        )
        own = own_tensors(self.config, model.tensors(), self.base)
        card = Card(
            shard_id=model.shard_id,
            ontology=self.ontology.name,
            task=self.ontology.task,
            classes=self.ontology.classes,
            network=model.to_json(),
        )
        return self.store.registry.publish(card, own or model.tensors(), self.base if own else None)

    def network(self) -> Network:
        make = GridNetwork if isinstance(self.config, GridConfig) else DenseNetwork
        network: Network = make(self.trunk, self.config)  # type: ignore[arg-type]
        if "heat" in self.config.branches:
            nn.init.constant_(network.get_submodule("heads.heat.2").bias, -4.6)  # type: ignore[arg-type]  # few objects
        return network.eval().requires_grad_(False)

    def whole(self, card: Card) -> dict[str, Tensor]:
        own = self.store.registry.load(card)
        return own if card.base is None else with_base(self.config, own, self.base)

    def alone(self, card: Card) -> MicroModel:
        return MicroModel.restore(card.shard_id, 1, card.network, self.whole(card), device=self.device)

    def tell_bytes(self, cards: dict[str, list[Card]]) -> None:
        base = len(safetensors.torch.save(dict(self.base.tensors)))
        print(f"\nbase: {base / 1e6:.2f} MB, once\nrecipe  file, MB  in memory, MB  alone, MB")
        cache = ModelCache(self.store.registry, 10**12, self.device)
        for recipe, some in cards.items():
            file = Path(self.store.url) / f"models/{some[0].shard_id}/{some[0].ontology}/gen-0001/weights.safetensors"
            ready = cache.get(some[0]).num_bytes
            print(f"{recipe:6} {file.stat().st_size / 1e6:9.3f} {ready / 1e6:14.3f} {self.alone(some[0]).num_bytes / 1e6:10.3f}")

    def tell_loads(self, cards: dict[str, list[Card]], rounds: int) -> None:
        print("\nms to load one, its file in the system's memory; the trunk is there already\nrecipe   before    now   ratio")
        for recipe, some in cards.items():
            whole = Path(self.store.url) / f"{recipe}.safetensors"
            whole.write_bytes(safetensors.torch.save(self.whole(some[0])))
            best = fastest(
                {"before": partial(load_as_before, whole, some[0], self.device), "now": self.loading(some)}, rounds * len(COUNTS)
            )
            print(f"{recipe:6} {best['before']:8.2f} {best['now']:6.2f} {best['before'] / best['now']:7.1f}")

    def loading(self, cards: list[Card]) -> Callable[[], object]:
        """Loads another one each time; all but the last are forgotten at once, their trunk is not."""
        cache, turns = ModelCache(self.store.registry, 0, self.device), cycle(cards)
        return lambda: cache.get(next(turns))

    def tell_answers(self, cards: dict[str, list[Card]], rounds: int) -> None:
        print("\nms a picture, each of another micro-model\nrecipe  pictures  alone  together  ratio")
        cache = ModelCache(self.store.registry, 10**12, self.device)
        for recipe in ("head", "film"):
            alone = [Bank([self.alone(card)], self.device) for card in cards[recipe]]
            together = Bank([cache.get(card) for card in cards[recipe]], self.device)
            for count in COUNTS:
                frames = self.frames[:count]
                ways: dict[str, Callable[[], object]] = {
                    "alone": partial(one_each, alone[:count], frames),
                    "together": partial(together.predict, frames, range(count)),
                }
                best = {name: ms / count for name, ms in fastest(ways, rounds).items()}
                ratio = best["alone"] / best["together"]
                print(f"{recipe:6} {count:9} {best['alone']:6.1f} {best['together']:9.1f} {ratio:6.2f}", flush=True)


def one_each(banks: list[Bank], frames: list[Frame]) -> None:
    for bank, frame in zip(banks, frames, strict=True):
        bank.predict([frame], [0])


def load_as_before(path: Path, card: Card, device: torch.device) -> Network:
    tensors = safetensors.torch.load(path.read_bytes())
    config = config_of(card.network)
    trunk = empty_trunk(config.backbone).eval()
    with torch.no_grad():
        trunk(torch.zeros(1, 3, 128, 128))
    make = GridNetwork if isinstance(config, GridConfig) else DenseNetwork
    network: Network = make(trunk, config)  # type: ignore[arg-type]
    network.load_state_dict(tensors)
    network.eval().requires_grad_(False)
    for module in [module for module in network.modules() if isinstance(module, nn.Sequential)]:
        children = list(module.named_children())
        for (before, convolution), (name, norm) in pairwise(children):
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, before, fuse_conv_bn_eval(convolution, norm))
                setattr(module, name, nn.Identity())
    return network.to(device).to(memory_format=torch.channels_last)


def settled(trunk: nn.Module) -> nn.Module:
    """Norms that have seen something, so that maps neither vanish nor explode."""
    with torch.no_grad():
        for _ in range(10):
            trunk.train()(torch.randn(2, 3, 96, 96))
    return trunk.eval().requires_grad_(False)


def fastest(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Milliseconds."""
    spent: dict[str, list[float]] = {name: [] for name in ways}
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    for _ in range(rounds + 1):
        for name, run in ways.items():
            began = clock()
            run()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            spent[name].append(1e3 * (clock() - began))
    return {name: min(seconds[1:]) for name, seconds in spent.items()}


if __name__ == "__main__":
    main()
