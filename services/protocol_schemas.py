"""What travels under /v2, as the Open Inference Protocol has it."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "InferIn",
    "InferOut",
    "ModelMetadata",
    "ModelReady",
    "ServerLive",
    "ServerMetadata",
    "ServerReady",
    "TensorIn",
    "TensorMetadata",
    "TensorOut",
]

Datatype = Literal["BYTES", "FP32", "INT32", "UINT8"]


class ServerLive(BaseModel):
    """The process is alive."""

    live: Literal[True] = True


class ServerReady(ServerLive):
    """The store can be read and a host answers."""

    ready: Literal[True] = True


class ModelReady(BaseModel):
    """The micro-model is published and a host answers."""

    name: str
    ready: Literal[True] = True


class ServerMetadata(BaseModel):
    """Who this is."""

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(BaseModel):
    """A tensor as a model takes or gives it; -1 for any length."""

    name: str
    datatype: Datatype
    shape: list[int]


class ModelMetadata(BaseModel):
    """What a micro-model takes and gives."""

    name: str
    versions: list[str] = Field(description="Published generations, oldest first")
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class InferParameters(BaseModel):
    """What may be asked beside the tensors."""

    model_config = ConfigDict(extra="forbid")

    ontology: str | None = Field(default=None, description="Needed only if the shard has models of several ontologies")
    min_score: float = Field(default=0.0, ge=0, le=1, description="Leave out labels scored lower")
    binary_data_output: bool = Field(default=False, description="Says nothing: tensors go out as JSON")


class TensorIn(BaseModel):
    """The pictures: BYTES of shape [N], each encoded and in base64, or UINT8 of shape [N, height, width, 3], RGB."""

    model_config = ConfigDict(extra="forbid")

    name: Literal["images"]
    shape: list[Annotated[int, Field(ge=0)]] = Field(min_length=1, max_length=4)
    datatype: Literal["BYTES", "UINT8"]
    parameters: dict[str, Any] | None = Field(default=None, description="Says nothing")
    data: list[Any] = Field(description="Nested, or flat in row-major order")


class OutputIn(BaseModel):
    """A tensor that is wanted."""

    model_config = ConfigDict(extra="forbid")

    name: str
    parameters: dict[str, Any] | None = Field(default=None, description="Says nothing: tensors go out as JSON")


class InferIn(BaseModel):
    """An inference request."""

    model_config = ConfigDict(extra="forbid")

    id: str | None = Field(default=None, max_length=200, description="Comes back with the answer")
    parameters: InferParameters = InferParameters()
    inputs: list[TensorIn] = Field(min_length=1, max_length=1, fail_fast=True)
    outputs: list[OutputIn] | None = Field(default=None, max_length=20, description="All that the task has, if left out")


class TensorOut(BaseModel):
    """A tensor of the answer; data: flat, in row-major order."""

    name: str
    datatype: Datatype
    shape: list[int]
    data: list[int] | list[float] | list[str]


class InferOut(BaseModel):
    """An inference response."""

    model_config = ConfigDict(protected_namespaces=())

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[TensorOut]
