"""The least that answers pictures by one micro-model over HTTP on Ray Serve: no catalogue, no hosts, no limits, no batches."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from fastapi import FastAPI, Request
from ray import serve
from ray.serve import Application

from training.data.frames import Frame
from training.data.pictures import decode_picture
from training.models.bank import Bank
from training.models.cache import ModelCache
from training.models.device import best_device
from training.store.store import Store

__all__ = ["bare_application"]


def bare_application(store_url: str, shard_id: str, *, threads: int) -> Application:
    """One micro-model, loaded once; a picture is answered in a thread, one after the other."""
    app = FastAPI()

    @serve.deployment(name="Bare", ray_actor_options={"num_cpus": threads}, max_ongoing_requests=64, max_queued_requests=-1)
    @serve.ingress(app)
    class Bare:
        def __init__(self) -> None:
            registry, device = Store.open(store_url).registry, best_device()
            self.bank = Bank([ModelCache(registry, 10**12, device).get(registry.resolve(shard_id))], device)
            self.thread = ThreadPoolExecutor(1, "answer", torch.set_num_threads, (threads,))

        @app.post("/predict")
        async def predict(self, request: Request) -> dict[str, Any]:
            return await asyncio.get_running_loop().run_in_executor(self.thread, self.answered, await request.body())

        def answered(self, data: bytes) -> dict[str, Any]:
            image = decode_picture(data, name="picture")
            (labels,) = self.bank.predict([Frame(shard_id="any", frame_index=0, image_HW3=image)], [0])
            said = [{"class_name": a.class_name, "score": a.score, "bbox_xyxy": a.bbox_xyxy} for a in labels.annotations]
            return {"width": image.shape[1], "height": image.shape[0], "annotations": said}

    application: Application = Bare.bind()  # type: ignore[attr-defined]
    return application
