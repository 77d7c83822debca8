"""What travels over HTTP, typed; the OpenAPI document is made from these."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from training.data.annotations import Annotation, FrameLabels
from training.data.ontology import Ontology, TaskName
from training.store.card import Card

__all__ = [
    "AnnotationOut",
    "Health",
    "ImageLabels",
    "ImagesIn",
    "KeypointOut",
    "MaskOut",
    "ModelCard",
    "ModelPage",
    "ModelUsed",
    "OntologyOut",
    "Prediction",
    "Problem",
    "Timings",
]

BoxOut = tuple[float, float, float, float]
Pair = Annotated[list[int], Field(min_length=2, max_length=2)]


class ImagesIn(BaseModel):
    """The JSON form of a predict request."""

    model_config = ConfigDict(extra="forbid")

    images: list[str] = Field(fail_fast=True, description="Encoded pictures (JPEG, PNG, …), each as base64 or as a data: URL")


class MaskOut(BaseModel):
    """COCO's compressed run lengths over the whole picture; pycocotools.mask.decode takes it as it is."""

    size: tuple[int, int] = Field(description="Height and width of the picture")
    counts: str


class KeypointOut(BaseModel):
    """One named point, in pixels of the upright picture."""

    name: str
    x: float
    y: float
    visibility: Literal[0, 1, 2] = Field(description="0: not there, 1: hidden, its place is a guess, 2: seen")


class AnnotationOut(BaseModel):
    """One class of the whole picture, box, mask or object with keypoints; parts that its task does not have are left out."""

    class_name: str
    level: Literal["object", "image"] = Field(description="'image' for a class of the whole picture")
    score: float | None = Field(default=None, ge=0, le=1)
    bbox_xyxy: BoxOut | None = Field(default=None, description="Pixels of the upright picture")
    mask: MaskOut | None = None
    keypoints: list[KeypointOut] | None = Field(default=None, description="In the ontology's order")

    @classmethod
    def of(cls, annotation: Annotation, size_wh: tuple[int, int], keypoint_names: Sequence[str]) -> "AnnotationOut":
        counts, points = annotation.rle_counts, annotation.keypoints_xyv
        return cls(
            class_name=annotation.class_name,
            level=annotation.level,
            score=annotation.score,
            bbox_xyxy=annotation.bbox_xyxy,
            mask=None if counts is None else MaskOut(size=(size_wh[1], size_wh[0]), counts=counts),
            keypoints=None if points is None else _named(points, keypoint_names),
        )


class ImageLabels(BaseModel):
    """Labels of one picture, in the order the pictures were sent."""

    width: int
    height: int
    annotations: list[AnnotationOut]

    @classmethod
    def of(
        cls, labels: FrameLabels, size_wh: tuple[int, int], min_score: float, keypoint_names: Sequence[str] = ()
    ) -> "ImageLabels":
        kept = (one for one in labels.annotations if one.score is None or one.score >= min_score)
        annotations = [AnnotationOut.of(one, size_wh, keypoint_names) for one in kept]
        return cls(width=size_wh[0], height=size_wh[1], annotations=annotations)


class ModelUsed(BaseModel):
    """Which micro-model answered."""

    shard_id: str
    ontology: str
    task: str
    generation: int

    @classmethod
    def of(cls, card: Card) -> "ModelUsed":
        return cls(shard_id=card.shard_id, ontology=card.ontology, task=card.task, generation=card.generation)


class Timings(BaseModel):
    """Seconds, and how many pictures (of any models and requests) shared the bank pass."""

    prepare_s: float = Field(description="Decoding the pictures and, if it was not cached, loading the model")
    wait_s: float = Field(description="Waiting for the batch to fill and for its turn")
    model_s: float = Field(description="The bank pass")
    total_s: float = Field(description="From the first byte read to the answer shaped")
    batch_images: int


class Prediction(BaseModel):
    """The answer to a predict request."""

    model: ModelUsed
    images: list[ImageLabels]
    timings: Timings


class ModelCard(BaseModel):
    """A published generation."""

    shard_id: str
    ontology: str
    task: str
    generation: int
    parent: int | None
    classes: list[str]
    num_labelled: int
    metrics: dict[str, float]
    recipe: dict[str, Any]
    backbone: dict[str, Any]
    base: str | None = Field(description="The trunk that it shares with other micro-models; null where all of it is its own")
    fit_seconds: float
    seed: int
    created_at: str
    labels_hash: str
    source_hash: str
    weights_sha256: str
    num_bytes: int = Field(description="Of its own tensors")
    versions: dict[str, str]
    git_sha: str | None

    @classmethod
    def of(cls, card: Card) -> "ModelCard":
        return cls(**{name: getattr(card, name) for name in cls.model_fields})


class ModelPage(BaseModel):
    """Live micro-models, ordered by shard and ontology."""

    models: list[ModelCard]
    next_after: str | None = Field(description="Give this as `after` to get the next page; null on the last")


class OntologyOut(BaseModel):
    """What is labelled: a task with its classes, and for keypoints their names and the bones between them."""

    name: str
    task: TaskName
    classes: list[str]
    keypoints: list[str]
    skeleton: list[Pair] = Field(description="Pairs of places in `keypoints`, from 0")

    @classmethod
    def of(cls, ontology: Ontology) -> "OntologyOut":
        return cls(**ontology.to_json())


class Health(BaseModel):
    """Alive, or ready to answer."""

    status: Literal["ok"] = "ok"


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str = Field(examples=["urn:micromodels:unknown-model"])
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str
    instance: str = Field(examples=["/v1/models/front_door/predict"])
    request_id: str
    errors: list[dict[str, Any]] | None = None
    error: str | None = Field(
        default=None, description="`detail` by the name that the Open Inference Protocol has for it; under /v2"
    )


def _named(points_xyv: Sequence[float], names: Sequence[str]) -> list[KeypointOut]:
    triples = zip(names, points_xyv[0::3], points_xyv[1::3], points_xyv[2::3], strict=True)
    return [KeypointOut.model_validate({"name": name, "x": x, "y": y, "visibility": int(v)}) for name, x, y, v in triples]
