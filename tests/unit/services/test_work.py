"""The loop over HTTP: what waits, the picture, and what a person said, by a page that knows nothing but the routes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.examples import ANSWERS, KEPT, QUEUE
from services.work_schemas import AnswersIn, Receipt, WorkQueue
from training.data.annotations import Annotation, FrameLabels
from training.data.ontology import Ontology
from training.data.pictures import decode_picture, encode_jpeg
from training.data.sources import probe
from training.errors import StoreUnreachable
from training.loop.efficiency import Spent
from training.models.actions import BOX_SECONDS, Actions
from training.store.queue import QueuedFrame
from training.store.store import Store

WHEN = "2026-01-02T03:04:05+00:00"


def box(x: float, score: float | None = None, name: str = "fly") -> Annotation:
    kind = "human" if score is None else "model"
    return Annotation(class_name=name, bbox_xyxy=(x, 2.0, x + 10.0, 22.0), provenance=kind, score=score)


def frame(index: int, *said: Annotation) -> FrameLabels:
    return FrameLabels(shard_id="pond", frame_index=index, annotations=said)


def queued(index: int, kind: Any, generation: int | None = None) -> QueuedFrame:
    return QueuedFrame(
        shard_id="pond", ontology="flies", frame_index=index, kind=kind, costs_s=8.7, why="because", generation=generation
    )


@pytest.fixture
def pond(store: Store, tmp_path: Path) -> Store:
    """Ten frames of 64x48; frame 0 is labelled, generation 1 has labelled all, and a review, an audit and a first label wait."""
    source = tmp_path / "pond"
    source.mkdir()
    for index in range(10):
        (source / f"{index}.png").write_bytes(encode_jpeg(np.full((48, 64, 3), 20 * index, np.uint8)))
    store.add_shard(probe(str(source), shard_id="pond"))
    store.add_ontology(Ontology(name="flies", task="detection", classes=("fly", "bee")))
    store.annotate("pond", "flies", [frame(0, box(1))])
    store.predictions.write("pond", "flies", 1, 0, 10, [frame(n, box(5, 0.9), box(40, 0.5)) for n in range(10)])
    store.queue.replace([queued(3, "review", 1), queued(7, "audit"), queued(8, "labels")])
    return store


def answer(index: int = 3, *annotations: dict[str, Any], **values: Any) -> dict[str, Any]:
    defaults = {"kind": "review", "generation": 1} if values.get("kind", "review") == "review" else {}
    return {
        "answer_id": f"ann-{index}",
        "shard_id": "pond",
        "ontology": "flies",
        "frame_index": index,
        "who": "ann",
        "when": WHEN,
        "annotations": list(annotations),
        **defaults,
        **values,
    }


def drawn(x: float, **values: Any) -> dict[str, Any]:
    return {"class_name": "fly", "bbox_xyxy": [x, 2, x + 10, 22], **values}


def spent(store: Store) -> Spent:
    return Spent.from_ledger(store.ledger.read("pond", "flies"), BOX_SECONDS)


def test_the_queue_shows_proposals_in_a_review_and_none_before_first_labels_and_audits(client: Any, pond: Store) -> None:
    answered = client.get("/v1/queue").json()
    assert (answered["queue"], [one["frame_index"] for one in answered["frames"]]) == (1, [3, 7, 8])
    review, audit, first = answered["frames"]
    assert [one["annotation_id"] for one in review["proposals"]] == ["0", "1"]
    said = {"annotation_id": "0", "class_name": "fly", "level": "object", "score": 0.9, "bbox_xyxy": [5, 2, 15, 22]}
    assert review["proposals"][0] == said
    assert (review["kind"], review["generation"], review["expected_seconds"]) == ("review", 1, 8.7)
    assert (audit["kind"], audit["proposals"], "generation" in audit) == ("audit", [], False)
    assert (first["kind"], first["proposals"]) == ("labels", [])
    picture = client.get(review["picture"])
    assert picture.headers["content-type"] == "image/jpeg"
    shown = decode_picture(picture.content, name="picture")
    assert shown.shape == (review["height"], review["width"], 3) == (48, 64, 3)
    assert abs(int(shown.mean()) - 60) < 3


def test_a_page_can_drive_the_loop_and_what_was_done_leaves_the_queue(client: Any, pond: Store) -> None:
    proposals = client.get("/v1/queue").json()["frames"][0]["proposals"]
    sent = {"answers": [answer(3, proposals[0], drawn(28)), answer(7, drawn(2), kind="audit")]}
    receipt = client.post("/v1/annotations", json=sent)
    assert receipt.status_code == 200, receipt.text
    assert (receipt.json()["recorded"], receipt.json()["known"]) == (2, 0)
    assert receipt.json()["answers"][0]["actions"] == {"draw": 1, "delete": 1, "adjust": 0, "confirm": 1}
    assert [one["frame_index"] for one in client.get("/v1/queue").json()["frames"]] == [8]
    assert [one.frame_index for one in pond.labels_to_fit("pond", "flies")] == [0, 3]
    assert pond.audit_frames("pond", "flies") == {7}
    (kept, new) = pond.labels("pond", "flies")[1].annotations
    assert (kept.provenance, kept.generation, kept.score, kept.author, kept.confirmed_at) == ("model", 1, 0.9, "ann", WHEN)
    assert (new.provenance, new.author, new.score) == ("human", "ann", None)
    done = spent(pond)
    assert (done.drawn, done.corrected, done.audited) == (1, Actions(draw=1, delete=1, confirm=1), {7})


def test_an_answer_that_is_sent_again_counts_once_and_undoes_nothing(client: Any, pond: Store) -> None:
    first = {"answers": [answer(3, drawn(28))]}
    client.post("/v1/annotations", json=first)
    before = spent(pond)
    assert client.post("/v1/annotations", json=first).json()["known"] == 1
    assert spent(pond) == before
    client.post("/v1/annotations", json={"answers": [answer(3, drawn(50), answer_id="bob-3", who="bob")]})
    assert client.post("/v1/annotations", json=first).json()["known"] == 1
    assert pond.labels("pond", "flies")[1].annotations[0].author == "bob"


def test_of_two_annotators_the_last_whole_answer_is_the_label_and_both_are_charged(client: Any, pond: Store) -> None:
    for who, x in (("ann", 28), ("bob", 50)):
        sent = {"answers": [answer(3, drawn(x), who=who, answer_id=f"{who}-3", seconds=10.0)]}
        assert client.post("/v1/annotations", json=sent).status_code == 200
    (label,) = pond.labels("pond", "flies")[1].annotations
    assert (label.author, label.bbox_xyxy) == ("bob", (50, 2, 60, 22))
    assert (spent(pond).looks, spent(pond).seconds) == (2, 20.0)


def test_a_clock_that_goes_backwards_changes_nothing(client: Any, pond: Store) -> None:
    for number, when in enumerate(("2026-01-02T03:04:05+00:00", "1999-01-01T00:00:00+00:00")):
        sent = {"answers": [answer(3, drawn(28 + number), answer_id=str(number), when=when)]}
        assert client.post("/v1/annotations", json=sent).status_code == 200
    assert pond.labels("pond", "flies")[1].annotations[0].bbox_xyxy == (29, 2, 39, 22)
    assert [action.when[:4] for action in pond.ledger.read() if action.action == "look"] == ["2026", "1999"]


@pytest.mark.parametrize(
    "other",
    [
        [drawn(28), drawn(5)],  # more is done than the first time
        [],  # less
        [drawn(29)],  # something else
    ],
)
def test_the_same_id_with_other_content_is_a_conflict_and_nothing_of_it_is_kept(
    client: Any, pond: Store, other: list[dict[str, Any]]
) -> None:
    client.post("/v1/annotations", json={"answers": [answer(3, drawn(28))]})
    before = list(pond.ledger.read()), pond.labels("pond", "flies")
    again = {"answers": [answer(8, drawn(1), kind="labels"), answer(3, *other)]}
    response = client.post("/v1/annotations", json=again)
    assert (response.status_code, response.json()["type"]) == (409, "urn:micromodels:conflicting-action")
    assert (list(pond.ledger.read()), pond.labels("pond", "flies")) == before


@pytest.mark.parametrize(
    ("wrong", "status", "said"),
    [
        ({"shard_id": "nowhere"}, 404, "nowhere"),
        ({"shard_id": "../pond"}, 404, "../pond"),
        ({"ontology": "nothing"}, 404, "nothing"),
        ({"frame_index": 10}, 404, "needed 0..9"),
        ({"frame_index": -1}, 404, "needed 0..9"),
        ({"generation": 9}, 404, "generation 9"),
        ({"generation": None}, 422, "generation None"),
        ({"kind": "labels", "generation": 1}, 422, "needed none"),
        ({"kind": "audit", "frame_index": 0, "generation": None}, 422, "needed another one to audit"),
        ({"kind": "guess"}, 422, "kind"),
        ({"when": "yesterday"}, 422, "ISO 8601"),
        ({"when": "2026-01-02T03:04:05+02:00"}, 422, "ISO 8601"),
        ({"who": ""}, 422, "who"),
        ({"who": "a\nb"}, 422, "printable"),
        ({"answer_id": "x" * 151}, 422, "answer_id"),
        ({"seconds": -1}, 422, "seconds"),
        ({"colour": "red"}, 422, "colour"),
        ({"annotations": [drawn(60)]}, 422, "leaves its picture"),
        ({"annotations": [drawn(28, bbox_xyxy=[9, 9, 9, 20])]}, 422, "no area"),
        ({"annotations": [drawn(28, class_name="wasp")]}, 422, "needed one of fly, bee"),
        ({"annotations": [{"class_name": "fly"}]}, 422, "no box"),
        ({"annotations": [drawn(5, annotation_id="2")]}, 422, "2 proposals"),
        ({"annotations": [drawn(5, annotation_id="0"), drawn(30, annotation_id="0")]}, 422, "two annotations"),
        ({"annotations": [drawn(5, keypoints=[{"name": "head", "x": 1, "y": 1, "visibility": 2}])]}, 422, "head"),
        ({"annotations": [drawn(5, mask={"size": [64, 48], "counts": "P"})]}, 422, "needed [48, 64]"),
        ({"annotations": [drawn(5, mask={"size": [48, 64], "counts": "garbage~~"})]}, 422, "a mask, needed none for detection"),
    ],
)
def test_what_cannot_be_kept_is_a_problem_document_and_nothing_of_the_batch_is_kept(
    client: Any, pond: Store, wrong: dict[str, Any], status: int, said: str
) -> None:
    before = pond.labels("pond", "flies")
    sent = {"answers": [answer(8, drawn(1), kind="labels"), {**answer(3, drawn(28)), **wrong}]}
    response = client.post("/v1/annotations", json=sent)
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert said in response.json()["detail"]
    assert (list(pond.ledger.read()), pond.labels("pond", "flies")) == ([], before)


def test_a_number_that_is_none_is_refused(client: Any, pond: Store) -> None:
    body = '{"answers": [' + str(answer(3, drawn(28))).replace("'", '"').replace("28", "NaN") + "]}"
    response = client.post("/v1/annotations", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 422, response.text
    assert pond.labels("pond", "flies")[-1].frame_index == 0


def test_one_frame_twice_or_one_id_twice_in_a_batch_is_refused_and_the_very_same_twice_is_kept_once(
    client: Any, pond: Store
) -> None:
    one = answer(3, drawn(28))
    for other in (answer(3, drawn(28), answer_id="other"), answer(3, drawn(29))):
        assert client.post("/v1/annotations", json={"answers": [one, other]}).status_code == 422
    assert list(pond.ledger.read()) == []
    assert client.post("/v1/annotations", json={"answers": [one, one]}).json()["answers"][1]["recorded"] is True
    assert spent(pond).looks == 1


def test_an_audit_frame_can_be_corrected_but_not_reviewed(client: Any, pond: Store) -> None:
    audit = answer(7, drawn(2), kind="audit")
    client.post("/v1/annotations", json={"answers": [audit]})
    refused = client.post("/v1/annotations", json={"answers": [answer(7, drawn(3), answer_id="r")]})
    assert (refused.status_code, "audit frame" in refused.json()["detail"]) == (422, True)
    corrected = {"answers": [{**audit, "answer_id": "again", "annotations": [drawn(4)]}]}
    assert client.post("/v1/annotations", json=corrected).status_code == 200
    assert pond.audit_labels("pond", "flies")[0].annotations[0].bbox_xyxy == (4, 2, 14, 22)


def test_an_empty_answer_says_that_nothing_is_there(client: Any, pond: Store) -> None:
    sent = {"answers": [answer(8, kind="labels", seconds=2.5), answer(3)]}
    receipt = client.post("/v1/annotations", json=sent).json()
    assert receipt["answers"][1]["actions"]["delete"] == 2
    assert [(one.frame_index, len(one.annotations)) for one in pond.labels("pond", "flies")] == [(0, 1), (3, 0), (8, 0)]
    assert spent(pond).labelled == {8}
    assert client.post("/v1/annotations", json=sent).json()["known"] == 2


@pytest.mark.parametrize(
    ("query", "frames"),
    [("limit=2", [3, 7]), ("shard_id=pond", [3, 7, 8]), ("ontology=flies&limit=1", [3]), ("ontology=bees", [])],
)
def test_the_queue_can_be_asked_for_a_part(client: Any, pond: Store, query: str, frames: list[int]) -> None:
    pond.add_ontology(Ontology(name="bees", task="detection", classes=("bee",)))
    assert [one["frame_index"] for one in client.get(f"/v1/queue?{query}").json()["frames"]] == frames


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/queue?shard_id=nowhere", 404),
        ("/v1/queue?ontology=nothing", 404),
        ("/v1/queue?limit=0", 422),
        ("/v1/shards/nowhere/frames/0.jpg", 404),
        ("/v1/shards/pond/frames/10.jpg", 404),
        ("/v1/shards/pond/frames/-1.jpg", 404),
        ("/v1/shards/..%2Fpond/frames/0.jpg", 404),
        ("/v1/shards/pond/frames/..%2F0.jpg", 404),
        ("/v1/shards/pond/frames/a.jpg", 422),
    ],
)
def test_what_is_not_there_is_a_problem_document(client: Any, pond: Store, path: str, status: int) -> None:
    response = client.get(path)
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")


def test_a_source_that_is_gone_is_not_the_clients_fault(client: Any, pond: Store) -> None:
    Path(pond.shard("pond").uri, "4.png").unlink()
    response = client.get("/v1/shards/pond/frames/9.jpg")
    assert response.status_code == 503
    assert pond.shard("pond").uri not in response.text


def test_no_keypoints_are_kept_as_none(client: Any, pond: Store) -> None:
    assert client.post("/v1/annotations", json={"answers": [answer(3, drawn(28, keypoints=[]))]}).status_code == 200
    assert pond.labels("pond", "flies")[-1].annotations[0].keypoints_xyv is None


def test_a_shard_that_is_gone_or_damaged_keeps_the_others_from_nobody(
    client: Any, pond: Store, caplog: pytest.LogCaptureFixture
) -> None:
    for shard_id in ("gone", "labels", "proposals"):
        pond.add_shard(replace(pond.shard("pond"), shard_id=shard_id))
    pond.annotate("labels", "flies", [replace(frame(0, box(1)), shard_id="labels")])
    proposed = [replace(frame(n), shard_id="proposals") for n in range(10)]
    pond.predictions.write("proposals", "flies", 1, 0, 10, proposed)
    for path in Path(pond.url).rglob("*.parquet"):
        if "labels" in path.parts or "shard_id=proposals" in path.parts:
            path.write_bytes(path.read_bytes()[:-20])
    Path(pond.url, "shards", "gone.json").unlink()
    bad = [replace(queued(n, "review", 1), shard_id=name) for n in (1, 2) for name in ("gone", "labels", "proposals")]
    undamaged = replace(queued(5, "audit"), shard_id="proposals")
    pond.queue.replace([*bad, undamaged, queued(3, "review", 1), queued(7, "audit")])
    for query, frames in (("", [5, 3, 7]), ("?limit=2", [5, 3]), ("?shard_id=labels", [])):
        caplog.clear()
        response = client.get(f"/v1/queue{query}")
        assert response.status_code == 200, response.text
        assert [one["frame_index"] for one in response.json()["frames"]] == frames
        said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        names = ["labels"] if "shard_id" in query else ["gone", "labels", "proposals"]
        assert len(said) == len(names)
        for name in names:
            assert any(f"shard={name} " in one and ("UnknownShard" if name == "gone" else "CorruptLabels") in one for one in said)


def test_a_store_that_does_not_answer_is_no_damaged_shard(client: Any, pond: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: Any) -> None:
        raise StoreUnreachable("s3://bucket: no answer")

    monkeypatch.setattr(Store, "labels", unreachable)
    assert client.get("/v1/queue").status_code == 503


def test_a_queue_that_nobody_asked_for_is_empty(client: Any) -> None:
    assert client.get("/v1/queue").json() == {"queue": 0, "frames": []}


def test_the_body_is_bounded_and_must_be_json(client_of: Callable[..., Any], pond: Store) -> None:
    sent = {"answers": [answer(3, drawn(28))]}
    assert client_of(max_request_bytes=50).post("/v1/annotations", json=sent).status_code == 413
    assert client_of().post("/v1/annotations", content=b"{", headers={"content-type": "application/json"}).status_code == 422
    assert client_of().post("/v1/annotations", content=b"{}", headers={"content-type": "text/plain"}).status_code == 415
    assert client_of().post("/v1/annotations", json={"answers": []}).status_code == 422


def test_the_examples_fit_their_schemas_and_every_key_of_them(client: Any) -> None:
    assert WorkQueue.model_validate(QUEUE).model_dump(mode="json", exclude_unset=True) == QUEUE
    assert AnswersIn.model_validate(ANSWERS).model_dump(mode="json", exclude_unset=True) == ANSWERS
    assert Receipt.model_validate(KEPT).model_dump(mode="json") == KEPT
    document = client.get("/openapi.json")
    content = document.json()["paths"]["/v1/annotations"]["post"]["requestBody"]["content"]["application/json"]
    assert content["example"] == ANSWERS
    answers = content["schema"]["properties"]["answers"]["items"]["properties"]
    assert answers["annotations"]["items"]["properties"]["mask"]["anyOf"][0]["properties"].keys() == {"size", "counts"}
    assert "$defs" not in document.text
