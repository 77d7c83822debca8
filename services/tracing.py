"""Traces of requests for OpenTelemetry, where the settings name a collector: the request, its routing, each host's part of it."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from opentelemetry.propagate import extract
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, get_current_span
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.answering import Answer
from services.asking import Hosts
from services.line_answering import LineAnswer
from services.looking import Asked, Looked
from services.payload import Picture
from services.settings import Settings
from training.errors import MissingExtra
from training.lines.ready import ReadyLine
from training.store.card import Card

__all__ = ["Traced", "TracedHosts", "tracer_of"]

NAME = "micromodels"


def tracer_of(settings: Settings) -> Tracer | None:
    """Sends to `traces_url`, in the background; None where none is set.

    Raises:
        MissingExtra: the package that sends is not installed.
    """
    if settings.traces_url is None:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as error:
        raise MissingExtra("traces_url: no opentelemetry-exporter-otlp-proto-http, needed micromodels[otel]") from error
    sampler = ParentBased(TraceIdRatioBased(settings.traces_share))
    provider = TracerProvider(sampler=sampler, resource=Resource.create({"service.name": NAME}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=settings.traces_url)))
    return provider.get_tracer(NAME)


class Traced:
    """ASGI middleware: a span for each request, of the trace that its `traceparent` says if there is one."""

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self._app, self._tracer = app, tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0

        async def send_seen(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        parent = extract(dict(Headers(scope=scope)))
        with self._tracer.start_as_current_span(scope["method"], parent, SpanKind.SERVER) as span:
            try:
                await self._app(scope, receive, send_seen)
            finally:
                _describe(span, scope, status)


class TracedHosts:
    """Hosts, with a span for each call, and in it what the host says it took, one after the other and ending with the answer."""

    def __init__(self, hosts: Hosts, tracer: Tracer) -> None:
        self._hosts, self._tracer = hosts, tracer

    async def predict(self, card: Card, pictures: Sequence[Picture]) -> Answer:
        with self._span("host", model=card.ref, ontology=card.ontology, pictures=len(pictures)):
            answer = await self._hosts.predict(card, pictures)
            self._phases(answer)
        return answer

    async def predict_each(self, asked: Sequence[tuple[Card, Sequence[Picture]]]) -> list[Answer]:
        pictures = sum(len(pictures) for _, pictures in asked)
        with self._span("host", models=[card.ref for card, _ in asked], pictures=pictures):
            answers = await self._hosts.predict_each(asked)
            for answer in answers:
                self._phases(answer)
        return answers

    async def run_line(self, line: ReadyLine, pictures: Sequence[Picture]) -> LineAnswer:
        with self._span("host", line=line.line.ref, pictures=len(pictures)):
            answer = await self._hosts.run_line(line, pictures)
            self._parts(prepare=answer.prepare_s, crop=answer.crop_s, model=answer.model_s)
        return answer

    async def look(self, asked: Sequence[Asked], ontology: str | None) -> Looked:
        with self._span("route", pictures=len(asked)) as span:
            looked = await self._hosts.look(asked, ontology)
            span.set_attribute("micromodels.domains", looked.num_domains)
            self._parts(look=looked.seconds)
        return looked

    async def check(self) -> None:
        await self._hosts.check()

    @contextmanager
    def _span(self, name: str, **attributes: Any) -> Iterator[Span]:
        said = {f"micromodels.{key}": value for key, value in attributes.items()}
        with self._tracer.start_as_current_span(name, kind=SpanKind.CLIENT, attributes=said) as span:
            yield span

    def _phases(self, answer: Answer) -> None:
        get_current_span().set_attribute("micromodels.batch_images", answer.batch_images)
        self._parts(prepare=answer.prepare_s, wait=answer.wait_s, model=answer.model_s)

    def _parts(self, **seconds: float) -> None:
        start = time.time_ns() - round(sum(seconds.values()) * 1e9)
        for name, its_seconds in seconds.items():
            end = start + round(its_seconds * 1e9)
            self._tracer.start_span(name, start_time=start).end(end)
            start = end


def _describe(span: Span, scope: Scope, status: int) -> None:
    """By the names of OpenTelemetry's conventions; of the path only the route, which has nobody's names in it."""
    route = getattr(scope.get("route"), "path", None)
    if route is not None:
        span.update_name(f"{scope['method']} {route}")
        span.set_attribute("http.route", route)
    span.set_attributes({"http.request.method": scope["method"], "micromodels.request_id": scope.get("request_id", "")})
    if status:
        span.set_attribute("http.response.status_code", status)
    if not 0 < status < 500:
        span.set_status(Status(StatusCode.ERROR))
