"""The routes of the Open Inference Protocol, version 2: https://github.com/kserve/open-inference-protocol."""

import asyncio

from fastapi import FastAPI, Request

from services.asking import Generation, Hosts, Ontology, ShardId
from services.body import read_json
from services.canaries import Canaries, is_live
from services.catalogue import Catalogue, reference
from services.examples import INFER_BODY, INFERRED, problems
from services.gate import PREDICT, READ
from services.payload import Picture, measured_all
from services.protocol_schemas import (
    InferIn,
    InferOut,
    ModelMetadata,
    ModelReady,
    ServerLive,
    ServerMetadata,
    ServerReady,
    TensorMetadata,
)
from services.settings import Settings
from services.tensors import encoded_pictures, output_names, output_tensors, tensor_metadata

__all__ = ["add_protocol"]

MODEL = "/v2/models/{shard_id}"
VERSION = "/v2/models/{shard_id}/versions/{generation}"
NEEDED = '{"inputs": [{"name": "images", "datatype": "BYTES", "shape": [1], "data": ["base64…"]}]}'


def add_protocol(api: FastAPI, catalogue: Catalogue, hosts: Hosts, canaries: Canaries, settings: Settings) -> None:
    """Add the routes; answers to nothing until it is served."""
    _add_server(api, catalogue, hosts)
    _add_model(api, catalogue, hosts)
    _add_infer(api, catalogue, canaries, settings)


def _add_server(api: FastAPI, catalogue: Catalogue, hosts: Hosts) -> None:
    @api.get("/v2/health/live", summary="The process is alive")
    async def live() -> ServerLive:
        return ServerLive()

    @api.get("/v2/health/ready", summary="The store can be read and a host answers", responses=problems(504))
    async def ready() -> ServerReady:
        await asyncio.to_thread(catalogue.check)
        await hosts.check()
        return ServerReady()

    @api.get("/v2", summary="Who this is", dependencies=[READ])
    async def server() -> ServerMetadata:
        return ServerMetadata(name="micro-models", version=api.version, extensions=[])


def _add_model(api: FastAPI, catalogue: Catalogue, hosts: Hosts) -> None:
    @api.get(MODEL, summary="What a micro-model takes and gives", responses=problems(404), dependencies=[READ])
    @api.get(VERSION, summary="What a generation takes and gives", responses=problems(404), dependencies=[READ])
    def metadata(shard_id: ShardId, generation: Generation = "live", ontology: Ontology = None) -> ModelMetadata:
        card = catalogue.resolve(reference(shard_id, generation, ontology))
        return ModelMetadata(
            name=card.shard_id,
            versions=[str(one) for one in catalogue.store.registry.generations(card.shard_id, card.ontology)],
            platform="micromodels_safetensors",
            inputs=[TensorMetadata(name="images", datatype="BYTES", shape=[-1])],
            outputs=[tensor_metadata(name) for name in output_names(card.task, None)],
        )

    @api.get(f"{MODEL}/ready", summary="A micro-model can answer", responses=problems(404, 504), dependencies=[READ])
    @api.get(f"{VERSION}/ready", summary="A generation can answer", responses=problems(404, 504), dependencies=[READ])
    async def model_ready(shard_id: ShardId, generation: Generation = "live", ontology: Ontology = None) -> ModelReady:
        card = await asyncio.to_thread(catalogue.resolve, reference(shard_id, generation, ontology))
        await hosts.check()
        return ModelReady(name=card.shard_id)


def _add_infer(api: FastAPI, catalogue: Catalogue, canaries: Canaries, settings: Settings) -> None:
    async def infer(request: Request, shard_id: ShardId, generation: Generation = "live") -> InferOut:
        asked = await read_json(request, InferIn, settings, needed=NEEDED)
        wanted = reference(shard_id, generation, asked.parameters.ontology)
        card = await asyncio.to_thread(catalogue.resolve, wanted)
        names = output_names(card.task, None if asked.outputs is None else [one.name for one in asked.outputs])
        pictures = await asyncio.to_thread(_pictures, asked, settings)
        card, answer = await canaries.predict(card, pictures, live=is_live(wanted))
        tensors = output_tensors(names, answer, asked.parameters.min_score)
        return InferOut(model_name=card.shard_id, model_version=str(card.generation), id=asked.id, outputs=tensors)

    for path in (MODEL, VERSION):
        api.post(
            f"{path}/infer",
            summary="Label pictures",
            response_model_exclude_none=True,
            responses={200: {"content": {"application/json": {"example": INFERRED}}}, **problems(404, 408, 413, 415, 504)},
            openapi_extra={"requestBody": INFER_BODY},
            dependencies=[PREDICT],
        )(infer)


def _pictures(asked: InferIn, settings: Settings) -> list[Picture]:
    return measured_all(encoded_pictures(asked.inputs[0]), settings)
