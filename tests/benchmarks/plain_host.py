"""The same micro-models as the documentation of Ray Serve hosts many models: `@serve.multiplexed`, one model a call."""

from typing import Any

import torch
from fastapi import FastAPI, Request
from ray import serve
from ray.serve import Application

from training.data.frames import Frame
from training.data.ontology import Ontology
from training.data.pictures import decode_picture
from training.models.backbones import empty_trunk
from training.models.bank import Bank
from training.models.bases import with_base
from training.models.device import best_device
from training.models.micro_model import MicroModel
from training.models.mixed_precision import lower, trunk_dtype
from training.models.network import DenseNetwork
from training.models.networks import config_of
from training.models.precision import Precision
from training.store.store import Store

__all__ = ["plain_application"]


def plain_application(store_url: str, *, most: int, replicas: int, threads: int, precision: Precision) -> Application:
    """Models by the header `serve_multiplexed_model_id`, at most `most` of them in a replica, their trunks of this precision."""
    app = FastAPI()

    @serve.deployment(
        name="Plain",
        num_replicas=replicas,
        ray_actor_options={"num_cpus": threads},
        max_ongoing_requests=64,
        max_queued_requests=-1,
    )
    @serve.ingress(app)
    class Plain:
        def __init__(self) -> None:
            torch.set_num_threads(threads)
            self.registry, self.device = Store.open(store_url).registry, best_device()

        @serve.multiplexed(max_num_models_per_replica=most)  # type: ignore[untyped-decorator]
        async def get_model(self, model_id: str) -> Bank:
            return load(self.registry, model_id, self.device, precision)

        @app.post("/predict")
        async def predict(self, request: Request) -> dict[str, Any]:
            bank = await self.get_model(serve.get_multiplexed_model_id())
            image = decode_picture(await request.body(), name="picture")
            (labels,) = bank.predict([Frame(shard_id="any", frame_index=0, image_HW3=image)], [0])
            said = [{"class_name": a.class_name, "score": a.score, "bbox_xyxy": a.bbox_xyxy} for a in labels.annotations]
            return {"width": image.shape[1], "height": image.shape[0], "annotations": said}

    application: Application = Plain.bind()  # type: ignore[attr-defined]
    return application


def load(registry: Any, model_id: str, device: torch.device, precision: Precision) -> Bank:
    """torchvision's network and a head, then all tensors: those of the file, and those of the base, which stays in memory."""
    card = registry.card(model_id, "detection", 1)
    config, own = config_of(card.network), registry.load(card)
    network = DenseNetwork(empty_trunk(config.backbone), config)  # type: ignore[arg-type]
    network.load_state_dict(own if card.base is None else with_base(config, own, registry.bases.load(card.base)))
    network.eval().requires_grad_(False)
    lower(network.trunk, config.backbone, trunk_dtype(precision, device))  # type: ignore[arg-type]
    ontology = Ontology.from_json(card.network["ontology"])
    model = MicroModel(shard_id=model_id, ontology=ontology, network=network, decoding=card.network["decoding"])
    return Bank([model], device)
