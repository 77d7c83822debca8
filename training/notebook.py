"""A micro-model as an object: frames and annotations in, a function from a frame to its annotations out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path

from training.data.annotations import Annotation, labels_hash
from training.data.ontology import Ontology, TaskName
from training.errors import BadInput
from training.learning.fit import fit_bank
from training.learning.labelled import LabelledFrames
from training.learning.recipe_file import resolve_recipe
from training.learning.recipes import Recipe
from training.models.backbones import Backbone
from training.models.bank import Bank
from training.models.bases import with_base
from training.models.device import best_device
from training.models.micro_model import MicroModel
from training.models.networks import config_of
from training.notebook_labels import Picture, Said, frame_of, labelled_frames
from training.store.bases import Bases
from training.store.card import Card
from training.store.local import LocalObjects
from training.store.weights import card_inside, pack, unpack

__all__ = ["FittedModel", "fit", "load"]

_STORE_ABOVE = 4  # of the folders above a generation's weights: models/<shard_id>/<ontology>/gen-000N/


class FittedModel:
    """A function from one frame to the annotations on it; what it was fitted from is in its `card`."""

    def __init__(self, file: bytes, where: str) -> None:
        """From the bytes of a safetensors file with a card in its metadata, as `save` writes it."""
        self.card = card_inside(file, where)
        self._file = file
        generation, device = self.card.generation or None, best_device()
        tensors = unpack(file, self.card)
        model = MicroModel.restore(self.card.shard_id, generation, self.card.network, tensors, device=device)
        self._bank = Bank([model], device)

    @property
    def ontology(self) -> Ontology:
        return self._bank.models[0].ontology

    def __call__(self, frame: Picture) -> tuple[Annotation, ...]:
        """What the frame shows, in its own pixels: provenance 'model', scores in 0..1.

        Args:
            frame: uint8 RGB (H, W, 3), a Frame, or the path of a picture.
        Raises:
            BadPicture, BadInput: the picture cannot be read.
            WrongShape: an array of another shape or type.
        """
        (labels,) = self._bank.predict([frame_of(frame, 0, self.card.shard_id)], [0])
        return labels.annotations

    def save(self, path: str | Path) -> None:
        """Write one safetensors file; `load` gives the same model back. What lies at `path` is replaced as a whole.

        Raises:
            BadInput: it cannot be written.
        """
        path = Path(path)
        unfinished = path.with_name(f".{path.name}.unfinished")
        try:
            unfinished.write_bytes(self._file)
            unfinished.replace(path)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            raise BadInput(f"{path}: cannot be written ({error.strerror}), needed a writable file") from error

    def __repr__(self) -> str:
        ontology = self.ontology
        return f"FittedModel({ontology.task} of {', '.join(ontology.classes)}; {self.card.num_labelled} labelled frames)"


def load(path: str | Path) -> FittedModel:
    """The micro-model in a file that `FittedModel.save` wrote, or in the `weights.safetensors` of a store.

    What that one shares with others is read from the store that the file lies in; saved again, it is whole.

    Raises:
        BadInput: the file cannot be read.
        UnknownModel: it is a part of a micro-model, and the other is not in its store.
        CorruptModel: it is damaged, or no micro-model.
    """
    path = Path(path)
    file = _read(path)
    card = card_inside(file, str(path))
    if card.base is not None:
        store = LocalObjects(path.resolve().joinpath(*[".."] * (_STORE_ABOVE + 1)))
        config, base = config_of(card.network), Bases(store).load(card.base)
        _, file = pack(replace(card, base=None), with_base(config, unpack(file, card), base))
    return FittedModel(file, str(path))


def fit(
    frames: Sequence[Picture],
    annotations: Sequence[Said],
    *,
    others: Sequence[Picture] = (),
    task: TaskName | None = None,
    classes: Sequence[str] | None = None,
    keypoints: Sequence[str] | None = None,
    skeleton: Sequence[tuple[int, int]] = (),
    recipe: str | Recipe = "quality",
    backbone: Backbone | None = None,
    seed: int = 0,
    name: str = "notebook",
    report: Callable[[int, Mapping[str, float]], None] = lambda step, metrics: None,
) -> FittedModel:
    """Fit one micro-model to frames that are labelled completely; the same seed gives the same model.

    Args:
        frames: uint8 RGB arrays (H, W, 3), Frames, or paths of pictures; all of one size.
        annotations: what is on each frame, in the same order; an empty list where there is nothing.
        others: some hundred more pictures of the same place, without annotations: classes of whole frames are told by what is
            unusual about a frame, and these show what is usual. Without them the labelled ones must do; other tasks ignore them.
        task: by default what the annotations allow: classes of whole frames, keypoints, masks, or boxes.
        classes: their names in order; those in the annotations, sorted, by default.
        keypoints: names of the points, p1, p2, … by default. skeleton: pairs of 0-based indices into them.
        recipe: a recipe, its name, or a JSON file that holds one.
        backbone: what to start from; a MobileNetV2 with pre-trained weights, where there are any, by default.
        name: the shard_id that the card will carry.
        report: called every so often with the step and {"loss": …}.
    Raises:
        NothingToLearn: no annotation at all.
        BadAnnotation: one that does not fit its frame or the task.
        UnknownClass: a class that is not in `classes`.
        WrongShape: not one entry of annotations a frame, or an array that is no picture.
        BadInput: tasks that cannot be told apart, frames of different sizes, pictures that cannot be read.
        BadRecipe, BadBackbone, FitDiverged: as they say.
    """
    chosen = resolve_recipe(recipe) if isinstance(recipe, str) else recipe
    start = backbone or Backbone()
    labelled = labelled_frames(frames, annotations, name=name, task=task, classes=classes, keypoints=keypoints, skeleton=skeleton)
    unlabelled = tuple(frame_of(other, len(frames) + position, name) for position, other in enumerate(others))
    done = fit_bank(
        [replace(labelled, others=unlabelled)],
        recipe=chosen,
        backbone=start,
        seed=seed,
        device=best_device(),
        report=lambda _, step, told: report(step, told),
    )
    for error in done.failures.values():
        raise error
    model = done.models[name]
    _, file = pack(_card(labelled, model, chosen, start, seed), model.tensors())
    return FittedModel(file, name)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}, needed a file that holds a micro-model") from error


def _card(labelled: LabelledFrames, model: MicroModel, recipe: Recipe, backbone: Backbone, seed: int) -> Card:
    return Card(
        shard_id=labelled.shard_id,
        ontology=labelled.ontology.name,
        task=labelled.ontology.task,
        classes=labelled.ontology.classes,
        network=model.to_json(),
        recipe=recipe.to_json(),
        backbone=asdict(backbone),
        labels_hash=labels_hash(labelled.labels),
        num_labelled=len(labelled.labels),
        seed=seed,
        versions={package: version(package) for package in ("torch", "torchvision", "micromodels")},
    )
