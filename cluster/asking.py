"""Ask the service for the labels of one frame, as any client would: start it, send the frame over HTTP, stop it."""

import json
import socket
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cluster.serving import serving
from training.data.pictures import encode_jpeg
from training.data.shards import Shard
from training.data.sources import open_frames
from training.store.store import Store

__all__ = ["Exchange", "ask"]

_HOST = "127.0.0.1"
_PATIENCE_S = 120.0  # the first answer waits for a host that imports torch and loads the model
_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """What was sent and what came back, as text for people; answer: the decoded JSON."""

    request: str
    response: str
    answer: dict[str, Any]

    @property
    def summary(self) -> str:
        """One line: what the micro-model saw."""
        seen = [f"{one['class_name']} {one.get('score', 1.0):.2f}" for one in self.answer["images"][0]["annotations"]]
        return f"{self.answer['model']['shard_id']}@{self.answer['model']['generation']} answered: {', '.join(seen) or 'nothing'}"


def ask(store: Store, shard: Shard) -> Exchange:
    """Serve the store on a free port, send the frame in the middle of `shard` to its live micro-model, stop serving."""
    index = shard.num_frames // 2
    with open_frames(shard) as frames:
        (frame,) = frames.read([index])
    jpeg, port, path = encode_jpeg(frame.image_HW3), _free_port(), f"/v1/models/{shard.shard_id}/predict"
    with serving(store.url, host=_HOST, port=port, cpus_per_ingress=0):  # one CPU must do
        request = urllib.request.Request(f"http://{_HOST}:{port}{path}", data=jpeg, headers={"Content-Type": "image/jpeg"})
        with _NO_PROXY.open(request, timeout=_PATIENCE_S) as response:
            status, answer = response.status, json.load(response)
    return Exchange(
        request=f"POST {path}\nContent-Type: image/jpeg\n\nframe {index} of {shard.shard_id}, {len(jpeg):,} bytes",
        response=f"{status}\n{_readable(answer)}",
        answer=answer,
    )


def _readable(answer: Mapping[str, Any]) -> str:
    """The JSON with one line for each part and each annotation, numbers cut short."""
    short = json.loads(json.dumps(answer), parse_float=lambda number: round(float(number), 3))
    image = short["images"][0]
    seen = ",\n     ".join(json.dumps(one) for one in image.pop("annotations"))
    model, size, timings = (json.dumps(part) for part in (short["model"], image, short["timings"]))
    return f'{{"model": {model},\n "images": [{size[:-1]}, "annotations": [\n     {seen}]}}],\n "timings": {timings}}}'


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind((_HOST, 0))
        return int(listener.getsockname()[1])
