"""A line together with the micro-models that answer in it now."""

from collections.abc import Callable
from dataclasses import dataclass

from training.data.line import Line, Stage
from training.data.line_labels import StageModel
from training.models.bank import Bank
from training.models.cache import ModelCache
from training.store.card import Card
from training.store.store import Store

__all__ = ["ReadyLine", "ReadyStage", "bank_of", "ready_in", "ready_line"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyStage:
    """card: of the generation that answers. frame_wh: pixels of a frame of its shard, which is what its crops are resized to."""

    stage: Stage
    card: Card
    frame_wh: tuple[int, int]

    @property
    def model(self) -> StageModel:
        card = self.card
        return StageModel(
            stage=self.stage.name, shard_id=card.shard_id, ontology=card.ontology, task=card.task, generation=card.generation
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyLine:
    """stages: in the order of the line's."""

    line: Line
    stages: tuple[ReadyStage, ...]

    @property
    def models(self) -> tuple[StageModel, ...]:
        return tuple(one.model for one in self.stages)

    @property
    def shard_ids(self) -> list[str]:
        """Whose frames the line is made for: the shards of the micro-models that see the whole picture."""
        return list(dict.fromkeys(self.stages[place].card.shard_id for place in self.line.levels[0]))


def ready_line(line: Line, *, resolve: Callable[[Stage], Card], frame_wh: Callable[[str], tuple[int, int]]) -> ReadyLine:
    """
    Args:
        resolve: the card that answers in a stage.
        frame_wh: the size of a shard's frames, pixels.
    """
    stages = (ReadyStage(stage=one, card=resolve(one), frame_wh=frame_wh(one.model.partition("@")[0])) for one in line.stages)
    return ReadyLine(line=line, stages=tuple(stages))


def ready_in(store: Store, line: Line) -> ReadyLine:
    """With the micro-models that the store's registry has now.

    Raises:
        UnknownModel, UnknownShard: what a stage names is not there (any more).
    """
    return ready_line(
        line,
        resolve=lambda stage: store.registry.resolve(stage.model, stage.ontology),
        frame_wh=lambda shard_id: store.shard(shard_id).frame_wh,
    )


def bank_of(line: ReadyLine, models: ModelCache) -> Bank:
    """The micro-models of the stages, in their order. Raises UnknownModel, CorruptModel."""
    return Bank([models.get(one.card) for one in line.stages], models.device)
