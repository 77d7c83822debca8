"""The route for pictures whose micro-model the service has to find: by rules over metadata, by place, by looks, or not at all."""

import asyncio
import time
from typing import Annotated

from fastapi import FastAPI, Query, Request

from services.asking import Hosts, MinScore
from services.body import limited, media_type, parsed
from services.canaries import Canaries, Wanted
from services.catalogue import Catalogue
from services.deciding import decide, grouped, shaped
from services.examples import problems
from services.gate import PREDICT
from services.payload import Picture, decode_base64, measured_all, read_pictures
from services.routing_examples import ROUTED, ROUTED_BODY
from services.routing_schemas import DomainsOut, MetadataIn, RoutedIn, RoutedPrediction, RoutedTimings
from services.rules import RuleBook, add_rules
from services.rules_schemas import Lat, Lon, Moment, Name
from services.settings import Settings
from services.tally import tally
from training.data.identifiers import check_identifier
from training.domain.metadata import Metadata
from training.errors import BadRequest

__all__ = ["add_routing"]

NEEDED = '{"images": ["base64…"], "metadata": {"sensor": …}}'


def add_routing(api: FastAPI, catalogue: Catalogue, hosts: Hosts, canaries: Canaries, book: RuleBook, settings: Settings) -> None:
    """Add the routes; answers to nothing until it is served."""
    add_rules(api, book, settings)

    @api.post(
        "/v1/predict",
        response_model_exclude_none=True,
        responses={200: {"content": {"application/json": {"examples": ROUTED}}}, **problems(404, 408, 413, 415, 504)},
        openapi_extra={"requestBody": ROUTED_BODY},
        dependencies=[PREDICT],
        summary="Label pictures with the micro-models that they are for",
    )
    async def predict_routed(
        request: Request,
        ontology: Annotated[str | None, Query(description="Only micro-models of this one")] = None,
        min_score: MinScore = 0.0,
        video: Annotated[Name | None, Query(description="What the pictures are of, by a name that rules know")] = None,
        sensor: Annotated[Name | None, Query(description="What took them")] = None,
        lon: Annotated[Lon | None, Query(description="Where: degrees, WGS 84")] = None,
        lat: Annotated[Lat | None, Query(description="Where: degrees, WGS 84")] = None,
        when: Annotated[Moment | None, Query(alias="time", description="When: ISO 8601 with an offset")] = None,
    ) -> RoutedPrediction:
        started = time.perf_counter()
        if ontology is not None:
            check_identifier(ontology, "ontology")
        said = MetadataIn(video=video, sensor=sensor, lon=lon, lat=lat, time=when)
        pictures, about = await _read(request, said, settings)
        rules = await asyncio.to_thread(book.rules)
        decided, looked = await decide(catalogue, hosts, rules, pictures, about, ontology)
        groups = grouped(decided)
        wanted = [Wanted(card=one.card, pictures=[pictures[n] for n in one.places], live=one.live) for one in groups]
        answers = await canaries.predict_each(wanted)
        tally().abstentions.update(one.abstention.reason for one in decided.values() if one.abstention is not None)
        return RoutedPrediction(
            images=shaped(decided, groups, answers, min_score),
            domains=None if looked is None else DomainsOut.of(looked),
            timings=RoutedTimings.of(looked, [answer for _, answer in answers], total_s=time.perf_counter() - started),
        )


async def _read(request: Request, said: MetadataIn, settings: Settings) -> tuple[list[Picture], list[Metadata]]:
    """Pictures and what is known of each. Raises as read_pictures, and BadMetadata."""
    if media_type(request) != "application/json":
        about = said.over(MetadataIn())
        pictures = await read_pictures(request, settings)
        return pictures, [about] * len(pictures)
    body = await limited(request, settings.max_request_bytes, settings.body_timeout_s).body()
    return await asyncio.to_thread(_parsed, body, said, settings)


def _parsed(body: bytes, said: MetadataIn, settings: Settings) -> tuple[list[Picture], list[Metadata]]:
    given = parsed(RoutedIn, body, settings, needed=NEEDED)
    images = [decode_base64(image, f"images.{position}") for position, image in enumerate(given.images)]
    each = given.metadata if isinstance(given.metadata, list) else [given.metadata] * len(images)
    if len(each) != len(images):
        raise BadRequest(f"metadata of {len(each)} pictures for {len(images)} images, needed one for each, or an object for all")
    return measured_all(images, settings), [one.over(said) for one in each]
