import json
import re
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from training.data.annotations import Annotation, FrameLabels
from training.data.ontology import Ontology
from training.data.shards import SceneGrid, Shard
from training.errors import (
    BadAnnotation,
    BadInput,
    BadShardId,
    DuplicateShard,
    StoreUnusable,
    UnknownClass,
    UnknownFrame,
    UnknownOntology,
    UnknownShard,
)
from training.store.store import Store


def boxes(*indices: int, width: float = 5.0) -> list[FrameLabels]:
    box = (1.0, 2.0, 1.0 + width, 9.5)
    return [
        FrameLabels(shard_id="dog", frame_index=index, annotations=(Annotation(class_name="dog", bbox_xyxy=box),))
        for index in indices
    ]


@pytest.fixture
def ready(store: Store, shard: Shard, ontology: Ontology) -> Store:
    store.add_shard(shard)
    store.add_ontology(ontology)
    return store


def test_creating_twice_opens_the_same_store(tmp_path: Path) -> None:
    url = str(tmp_path / "s")
    assert Store.create(url).url == Store.create(url).url == Store.open(url).url == url
    assert json.loads((tmp_path / "s/store.json").read_text()) == {"schema": 1, "kind": "micromodels-store"}


def test_a_relative_path_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Store.create("here").url == str(tmp_path / "here")
    assert Store.open(f"file://{tmp_path}/here").url == str(tmp_path / "here")


def test_a_store_lives_behind_a_url_too(shard: Shard, ontology: Ontology) -> None:
    url = f"memory://{uuid.uuid4().hex}/s"
    store = Store.create(url)
    store.add_shard(shard)
    store.add_ontology(ontology)
    store.annotate("dog", ontology.name, boxes(3))
    again = Store.open(url)
    assert again.shards() == [shard]
    assert again.labels("dog", ontology.name) == boxes(3)


def test_a_folder_with_other_content_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"x")
    for make in (Store.create, Store.open):
        with pytest.raises(StoreUnusable, match=r"store\.json"):
            make(str(tmp_path))
    with pytest.raises(StoreUnusable, match=r"holiday\.jpg"):
        Store.create(str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]


def test_a_file_is_no_store(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("x")
    with pytest.raises(StoreUnusable, match=str(path)):
        Store.create(str(path))
    with pytest.raises(StoreUnusable, match=str(path)):
        Store.open(str(path))


def test_nothing_there_is_no_store_and_opening_makes_none(tmp_path: Path) -> None:
    with pytest.raises(StoreUnusable, match="needed a store"):
        Store.open(str(tmp_path / "absent"))
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ('{"schema": 2, "kind": "micromodels-store"}', "schema 2, needed 1"),
        ('{"schema": 1, "kind": "photo-album"}', "photo-album"),
        ('{"schema": 1}', "kind None"),
        ("[]", "a JSON list"),
        ("{", "not JSON"),
        ("", "not JSON"),
    ],
)
def test_a_manifest_that_is_not_ours_is_refused(tmp_path: Path, manifest: str, message: str) -> None:
    (tmp_path / "store.json").write_text(manifest)
    for make in (Store.create, Store.open):
        with pytest.raises(StoreUnusable, match=message):
            make(str(tmp_path))


def test_shards_come_back_as_they_were_added(store: Store, shard: Shard) -> None:
    grid = SceneGrid(
        width=300,
        height=200,
        tile=128,
        stride=128,
        bands=(3, 2, 1),
        dtype="uint16",
        crs="EPSG:32633",
        transform=(1, 0, 5, 0, -1, 9),
    )
    scene = replace(shard, shard_id="field.1", kind="scene", num_frames=6, width=128, height=128, fps=None, scene=grid)
    for one in (shard, scene, shard):
        store.add_shard(one)
    assert store.shard("field.1") == scene
    assert store.shards() == [shard, scene]
    assert store.shard_ids() == ["dog", "field.1"]


def test_a_shard_of_a_newer_version_is_read_and_a_damaged_one_is_named(store: Store, shard: Shard) -> None:
    store.add_shard(shard)
    (path,) = (Path(store.url) / "shards").iterdir()
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | {"since_then": 1}))
    assert store.shard(shard.shard_id) == shard
    del document["width"]
    path.write_text(json.dumps(document))
    with pytest.raises(StoreUnusable, match=f"shard '{shard.shard_id}': .*width.*needed every key"):
        store.shard(shard.shard_id)


def test_a_second_source_of_the_same_id_is_a_duplicate_and_the_first_stays(store: Store, shard: Shard) -> None:
    store.add_shard(shard)
    with pytest.raises(DuplicateShard, match=r"dog: /other\.mp4 has .*, the store has .* from /videos/dog\.mp4"):
        store.add_shard(replace(shard, uri="/other.mp4", content_hash="sha256:2"))
    assert store.shard("dog") == shard


def test_unknown_names_are_named(ready: Store) -> None:
    with pytest.raises(UnknownShard, match="cat"):
        ready.shard("cat")
    with pytest.raises(UnknownOntology, match=r"detection\.cat: .* it has detection\.dog"):
        ready.ontology("detection.cat")
    with pytest.raises(BadShardId):
        ready.shard("../store")


def test_an_ontology_cannot_change_its_meaning(ready: Store, ontology: Ontology) -> None:
    ready.add_ontology(ontology)
    with pytest.raises(BadInput, match=r"found detection of dog, cat, the store has detection of dog"):
        ready.add_ontology(replace(ontology, classes=("dog", "cat")))
    assert ready.ontologies() == [ontology]


def test_the_last_part_that_mentions_a_frame_is_believed_whole(ready: Store, ontology: Ontology) -> None:
    empty = FrameLabels(shard_id="dog", frame_index=7)
    assert ready.annotate("dog", ontology.name, [*boxes(3, 5), empty]) == 1
    assert ready.annotate("dog", ontology.name, boxes(5, width=8.0)) == 2
    assert ready.labels("dog", ontology.name) == [*boxes(3), *boxes(5, width=8.0), empty]
    assert ready.annotate("dog", ontology.name, [FrameLabels(shard_id="dog", frame_index=3)]) == 3
    assert [len(frame.annotations) for frame in ready.labels("dog", ontology.name)] == [0, 1, 0]
    assert ready.labelled("dog") == [ontology.name]
    assert ready.labelled("cat") == ready.labels("cat", ontology.name) == []


def test_everything_an_annotation_says_survives(ready: Store) -> None:
    keypoints = Ontology(name="k", task="keypoints", classes=("dog",), keypoints=("nose", "tail"), skeleton=((0, 1),))
    ready.add_ontology(keypoints)
    annotation = Annotation(
        class_name="dog",
        bbox_xyxy=(0.1, 0.2, 7 / 3, 4.0),
        rle_counts="abc",
        keypoints_xyv=(1 / 3, 2.0, 2.0, 0.0, 0.0, 0.0),
        track_id="t1",
        ambiguous=True,
        provenance="model",
        author="me",
        generation=3,
        score=0.1,
        confirmed_at="2026-01-01T00:00:00Z",
    )
    label = FrameLabels(shard_id="dog", frame_index=0, annotations=(annotation,))
    ready.annotate("dog", "k", [label])
    assert ready.labels("dog", "k") == [label]
    assert ready.ontology("k") == keypoints


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (boxes(20), UnknownFrame, r"frame 20 .*needed 0\.\.19"),
        (boxes(-1), UnknownFrame, "frame -1"),
        ([FrameLabels(shard_id="cat", frame_index=1)], UnknownFrame, "of cat"),
        (boxes(2, 2), BadInput, "frame 2 comes twice"),
        ([], BadInput, "no frames"),
        (
            [FrameLabels(shard_id="dog", frame_index=1, annotations=(Annotation(class_name="cat", bbox_xyxy=(0, 0, 1, 1)),))],
            UnknownClass,
            "'cat', needed one of dog",
        ),
        (
            [FrameLabels(shard_id="dog", frame_index=1, annotations=(Annotation(class_name="dog", keypoints_xyv=(1, 1, 2)),))],
            BadAnnotation,
            "1 keypoints, needed 0",
        ),
    ],
)
def test_bad_labels_are_refused_and_nothing_is_written(
    ready: Store, ontology: Ontology, labels: list[FrameLabels], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        ready.annotate("dog", ontology.name, [*labels])
    assert ready.labelled("dog") == []


def test_labels_of_an_unknown_shard_or_ontology_are_refused(ready: Store, ontology: Ontology) -> None:
    with pytest.raises(UnknownShard):
        ready.annotate("cat", ontology.name, boxes(1))
    with pytest.raises(UnknownOntology):
        ready.annotate("dog", "nothing", boxes(1))


def test_no_pickle_anywhere() -> None:
    root = Path(__file__).parents[3] / "training" / "store"
    for path in root.glob("*.py"):
        text = path.read_text()
        assert "pickle" not in text, path
        assert not re.search(r"(?<!safetensors\.)torch\.(load|save)\b", text), path


def test_audit_frames_are_labelled_but_not_to_be_fitted_on(ready: Store, ontology: Ontology) -> None:
    ready.annotate("dog", ontology.name, boxes(3))
    ready.annotate("dog", ontology.name, boxes(7, 9), audit=True)
    assert ready.audit_frames("dog", ontology.name) == {7, 9}
    assert ready.labels("dog", ontology.name) == boxes(3, 7, 9)
    assert ready.labels_to_fit("dog", ontology.name) == boxes(3)
    assert ready.audit_labels("dog", ontology.name) == boxes(7, 9)
    assert ready.audit_frames("cat", ontology.name) == set()


def test_an_audit_frame_stays_one_whoever_corrects_it_and_however_often_it_is_delivered(ready: Store, ontology: Ontology) -> None:
    for _ in range(2):
        ready.annotate("dog", ontology.name, boxes(7), audit=True)
    ready.annotate("dog", ontology.name, boxes(7, width=8.0))
    assert ready.labels_to_fit("dog", ontology.name) == []
    assert ready.audit_labels("dog", ontology.name) == boxes(7, width=8.0)
    assert (Path(ready.url) / f"audits/dog/{ontology.name}/0001.json").exists()
    assert not (Path(ready.url) / f"audits/dog/{ontology.name}/0002.json").exists()


def test_a_frame_that_may_have_been_fitted_on_cannot_become_an_audit(ready: Store, ontology: Ontology) -> None:
    ready.annotate("dog", ontology.name, boxes(3, 5))
    with pytest.raises(BadInput, match=r"dog detection\.dog: frame 5 was labelled to be fitted on, needed another"):
        ready.annotate("dog", ontology.name, boxes(5, 6), audit=True)
    assert ready.audit_frames("dog", ontology.name) == set()
    assert ready.labels("dog", ontology.name) == boxes(3, 5)


def test_labels_that_are_refused_mark_no_audit(ready: Store, ontology: Ontology) -> None:
    with pytest.raises(UnknownFrame):
        ready.annotate("dog", ontology.name, boxes(99), audit=True)
    assert ready.audit_frames("dog", ontology.name) == set()


def test_a_writer_that_dies_between_mark_and_labels_leaves_an_audit_frame_to_label(
    ready: Store, ontology: Ontology, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as dying:
        dying.setattr("training.store.store.append", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            ready.annotate("dog", ontology.name, boxes(7), audit=True)
    ready.annotate("dog", ontology.name, boxes(7))
    assert ready.labels_to_fit("dog", ontology.name) == []
    assert ready.audit_labels("dog", ontology.name) == boxes(7)
