"""What a trace of a request has in it, and that there is none where nobody wants one."""

import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from services.looking import Asked, Looked
from services.settings import Settings
from services.tracing import tracer_of
from training.domain.candidates import Chosen
from training.errors import MissingExtra, TimedOut

PNG = {"content-type": "image/png"}
PREDICT = "/v1/models/{shard_id}/predict"
FOUND = Chosen(shard_id="garden", ontology="detection.fly", distance=0.5)


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def client(client_of: Callable[..., Any], spans: InMemorySpanExporter) -> Any:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return client_of(tracer=provider.get_tracer("test"))


def by_name(spans: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    found = spans.get_finished_spans()
    named = {span.name: span for span in found}
    assert len(named) == len(found)
    return named


def inside(inner: ReadableSpan, outer: ReadableSpan) -> bool:
    assert inner.context is not None
    assert outer.context is not None
    child = inner.parent is not None and inner.parent.span_id == outer.context.span_id
    return child and inner.context.trace_id == outer.context.trace_id


def test_a_request_has_a_span_and_in_it_the_host_and_its_phases(client: Any, spans: InMemorySpanExporter, png: bytes) -> None:
    sent = {**PNG, "x-request-id": "mine"}
    assert client.post("/v1/models/garden/predict", content=png, headers=sent).status_code == 200
    named = by_name(spans)
    request, host = named.pop(f"POST {PREDICT}"), named.pop("host")
    assert request.parent is None
    assert dict(request.attributes or {}) == {
        "http.request.method": "POST",
        "http.route": PREDICT,
        "http.response.status_code": 200,
        "micromodels.request_id": "mine",
    }
    assert inside(host, request)
    said = dict(host.attributes or {})
    assert (said["micromodels.model"], said["micromodels.pictures"], said["micromodels.batch_images"]) == ("garden@1", 1, 1)
    assert set(named) == {"prepare", "wait", "model"}
    assert all(inside(phase, host) for phase in named.values())
    model = named["model"]
    assert model.start_time is not None
    assert model.end_time is not None
    assert (model.end_time - model.start_time) / 1e9 == pytest.approx(0.01, abs=1e-6)


def test_routing_has_a_span_of_its_own(client: Any, hosts: Any, spans: InMemorySpanExporter, png: bytes) -> None:
    async def look(asked: list[Asked], _: str | None) -> Looked:
        return Looked(
            answers=(FOUND,) * len(asked), sizes_wh=((40, 30),), eye="eye", num_domains=7, num_undescribed=0, seconds=0.02
        )

    async def predict_each(asked: Any) -> list[Any]:
        return [await hosts.predict(*one) for one in asked]

    hosts.look, hosts.predict_each = look, predict_each
    assert client.post("/v1/predict", content=png, headers=PNG).status_code == 200
    named = by_name(spans)
    assert inside(named["route"], named["POST /v1/predict"])
    assert inside(named["look"], named["route"])
    assert inside(named["host"], named["POST /v1/predict"])
    assert dict(named["route"].attributes or {}) == {"micromodels.pictures": 1, "micromodels.domains": 7}


def test_a_trace_that_somebody_began_goes_on(client: Any, spans: InMemorySpanExporter) -> None:
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    assert client.get("/v1/models/garden", headers={"traceparent": f"00-{trace}-{parent}-01"}).status_code == 200
    (span,) = spans.get_finished_spans()
    assert span.context is not None
    assert span.parent is not None
    assert (f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}") == (trace, parent)


def test_what_failed_is_an_error_in_the_trace_and_what_the_client_did_wrong_is_not(
    client: Any, hosts: Any, spans: InMemorySpanExporter, png: bytes
) -> None:
    assert client.get("/v1/models/nobody").status_code == 404
    hosts.broken = TimedOut("late")
    assert client.post("/v1/models/garden/predict", content=png, headers=PNG).status_code == 504
    named = by_name(spans)
    assert named["GET /v1/models/{shard_id}"].status.is_unset
    assert not named[f"POST {PREDICT}"].status.is_ok
    assert not named["host"].status.is_ok


def test_a_path_that_nobody_answers_names_no_span(client: Any, spans: InMemorySpanExporter) -> None:
    client.get("/nowhere/secret")
    (span,) = spans.get_finished_spans()
    assert "secret" not in f"{span.name}{span.attributes}"


def test_nothing_is_traced_unless_it_is_set() -> None:
    assert tracer_of(Settings(store="x")) is None


def test_whoever_wants_traces_without_what_sends_them_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(MissingExtra, match=r"micromodels\[otel\]"):
        tracer_of(Settings(store="x", traces_url="http://127.0.0.1:4318/v1/traces"))


def test_spans_arrive_at_the_collector_that_is_set() -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="needs micromodels[otel]")
    arrived, came = [], threading.Event()

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            arrived.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()
            came.set()

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        tracer: Any = tracer_of(Settings(store="x", traces_url=f"http://127.0.0.1:{server.server_port}/v1/traces"))
        tracer.start_span("one").end()
        tracer.span_processor.shutdown()
        assert came.wait(30)
        server.shutdown()
    ((path, body),) = arrived
    assert path == "/v1/traces"
    assert b"micromodels" in body
