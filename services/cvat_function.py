"""An auto-annotation function for CVAT: micro-models behind a service label the frames of a CVAT task.

Runs where cvat-cli runs and imports nothing of ours, so that this one file can be copied there (docs/bridges.md):
`cvat-cli task auto-annotate 7 --function-file cvat_function.py -p url=str:http://localhost:8000 -p shard=str:front_door`.
"""

import io
import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

import numpy as np
import urllib3
from cvat_sdk import auto_annotation as cvat
from cvat_sdk.masks import encode_mask
from numpy.typing import NDArray
from PIL import Image

__all__ = ["MicroModels", "create"]

NUM_RETRIES = 5  # where it is too busy
TIMEOUT_S = 120.0
KEY = "MICROMODELS_KEY"  # not a parameter: those can be read in the list of processes
JPEG_QUALITY = 95
_LABEL_TYPE = {"classification": "tag", "detection": "rectangle", "segmentation": "mask"}
_log = logging.getLogger(__name__)


def create(url: str, shard: str | None = None, ontology: str | None = None) -> "MicroModels":
    """What cvat-cli calls with the parameters of its command line.

    Args:
        url: of the service, as http://localhost:8000.
        shard: whose micro-model labels every frame, also 'shard@3'; without it the service finds one for each frame.
        ontology: needed where `shard` is left out, or has micro-models of several.
    Raises:
        BadFunctionError: no such micro-model or ontology, or a service that refuses or does not answer.
    """
    service = Service(url.rstrip("/"), os.environ.get(KEY))
    if shard is None and ontology is None:
        raise cvat.BadFunctionError("neither shard nor ontology is given, needed one of them")
    query = {} if ontology is None else {"ontology": ontology}
    if shard is not None:
        query = {"ontology": service.get(f"/v1/models/{quote(shard, safe='@')}", query)["ontology"]}
    about = service.get(f"/v1/ontologies/{quote(query['ontology'], safe='')}", {})
    path = "/v1/predict" if shard is None else f"/v1/models/{quote(shard, safe='@')}/predict"
    return MicroModels(service, path=path, query=query, about=about)


class MicroModels:
    """A DetectionFunction of cvat-sdk."""

    def __init__(self, service: "Service", *, path: str, query: Mapping[str, str], about: Mapping[str, Any]) -> None:
        self._service, self._path, self._query = service, path, query
        self._task: str = about["task"]
        self._class_ids = {name: place for place, name in enumerate(about["classes"])}
        self._point_ids = {name: place for place, name in enumerate(about["keypoints"])}
        self.spec = cvat.DetectionFunctionSpec(labels=[self._label(name) for name in self._class_ids])

    def detect(self, context: cvat.DetectionFunctionContext, image: Image.Image) -> list[cvat.DetectionAnnotation]:
        """The labels of one frame; none where the service abstains, which the log says.

        Raises:
            BadFunctionError: masks are wanted as polygons, or the service refuses or does not answer.
        """
        if self._task == "segmentation" and context.conv_mask_to_poly:
            raise cvat.BadFunctionError("micro-models draw masks, which may have holes: leave out --conv-mask-to-poly")
        query = {**self._query, "min_score": str(context.conf_threshold or 0)}
        (said,) = self._service.predict(self._path, query, _jpeg(image))["images"]
        if "abstention" in said:
            _log.warning("%s: no label, since no micro-model is for it: %s", context.frame_name, said["abstention"]["reason"])
            return []
        shaped = (self._shaped(one, image.size) for one in said["annotations"] if one["class_name"] in self._class_ids)
        return [one for one in shaped if one is not None]

    def _label(self, name: str) -> Any:
        if self._task == "keypoints":
            points = [cvat.keypoint_spec(point, place) for point, place in self._point_ids.items()]
            return cvat.skeleton_label_spec(name, self._class_ids[name], points)
        return cvat.label_spec(name, self._class_ids[name], type=_LABEL_TYPE[self._task])

    def _shaped(self, said: Mapping[str, Any], size_wh: tuple[int, int]) -> cvat.DetectionAnnotation | None:
        """None for what has no pixel in the picture."""
        label = self._class_ids[said["class_name"]]
        score = {} if said.get("score") is None else {"score": float(said["score"])}
        if self._task == "classification":
            return cvat.tag(label)
        if self._task == "keypoints":
            return cvat.skeleton(label, [self._point(one) for one in said["keypoints"]], **score)
        if self._task == "segmentation":
            mask_HW = _mask(**said["mask"])
            return cvat.mask(label, encode_mask(mask_HW), **score) if mask_HW.any() else None
        box = _inside(said["bbox_xyxy"], size_wh)
        return None if box is None else cvat.rectangle(label, box, **score)

    def _point(self, said: Mapping[str, Any]) -> Any:
        """CVAT wants every point of a skeleton: one that is not there is 'outside'."""
        unseen = {0: {"outside": True}, 1: {"occluded": True}}.get(said["visibility"], {})
        return cvat.keypoint(self._point_ids[said["name"]], [float(said["x"]), float(said["y"])], **unseen)


@dataclass(frozen=True, slots=True)
class Service:
    """The HTTP API, asked again where it is too busy (503) or the connection breaks. key: an API key, None without."""

    url: str
    key: str | None = field(repr=False)

    def get(self, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        """Raises BadFunctionError."""
        return self._asked("GET", path, query)

    def predict(self, path: str, query: Mapping[str, str], jpeg: bytes) -> dict[str, Any]:
        """Raises BadFunctionError."""
        return self._asked("POST", path, query, body=jpeg, headers={"Content-Type": "image/jpeg"})

    def _asked(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> dict[str, Any]:
        allowed = {} if self.key is None else {"Authorization": f"Bearer {self.key}"}
        again = urllib3.Retry(
            NUM_RETRIES, status_forcelist=[503], allowed_methods=None, backoff_factor=0.5, redirect=0, raise_on_status=False
        )
        try:
            answer = urllib3.request(
                method,
                f"{self.url}{path}?{urlencode(query)}",
                body=body,
                headers={**(headers or {}), **allowed},
                retries=again,
                timeout=TIMEOUT_S,
            )
        except urllib3.exceptions.HTTPError as error:
            raise cvat.BadFunctionError(f"{self.url}: {type(error).__name__}, needed a service that answers") from error
        said = _json(answer.data)
        if answer.status != 200:
            raise cvat.BadFunctionError(f"{self.url}{path}: {answer.status}, {said.get('detail', 'no reason given')}")
        return said


def _json(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _jpeg(image: Image.Image) -> bytes:
    """The pixels as CVAT gave them, without what a camera said of their orientation."""
    out = io.BytesIO()
    image.convert("RGB").save(out, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return out.getvalue()


def _mask(size: tuple[int, int], counts: str) -> NDArray[np.bool_]:
    """(H, W) of COCO's compressed runs: 5 bits a character, the least significant first; from the fourth on, changes."""
    runs: list[int] = []
    value = shift = 0
    for code in (ord(sign) - 48 for sign in counts):
        value |= (code & 31) << shift
        shift += 5
        if not code & 32:
            value -= (1 << shift) * bool(code & 16)
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(size[1], size[0]).T


def _inside(box: Sequence[float], size_wh: tuple[int, int]) -> list[float] | None:
    x1, y1, x2, y2 = box
    width, height = size_wh
    cut = [max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height))]
    return cut if cut[2] > cut[0] and cut[3] > cut[1] else None
