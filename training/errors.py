"""Every named error of the system. The message says which thing, what was found, and what was needed.

`services` maps these to HTTP statuses and `cluster.cli` to exit codes, each in one table.
"""

__all__ = [
    "AlreadyExists",
    "AlreadyLive",
    "BadAnnotation",
    "BadBackbone",
    "BadInput",
    "BadLabelConfig",
    "BadLine",
    "BadMetadata",
    "BadPicture",
    "BadRecipe",
    "BadRequest",
    "BadRules",
    "BadShardId",
    "BadVideo",
    "ConflictingAction",
    "ConflictingCanary",
    "ConflictingJob",
    "ConflictingRules",
    "CorruptLabels",
    "CorruptLedger",
    "CorruptModel",
    "DuplicateShard",
    "EmptyRequest",
    "FitDiverged",
    "Forbidden",
    "ForeignPicture",
    "HostUnavailable",
    "HostsBusy",
    "JobsNotConfigured",
    "JobsUnavailable",
    "KeysNeeded",
    "KeysUnusable",
    "MicroModelError",
    "MissingExtra",
    "MissingObject",
    "NoResult",
    "NotCoco",
    "NothingToLearn",
    "StoreDenied",
    "StoreFull",
    "StoreUnreachable",
    "StoreUnusable",
    "TimedOut",
    "TooLarge",
    "TooSlow",
    "Unauthorized",
    "UnknownClass",
    "UnknownFrame",
    "UnknownJob",
    "UnknownLine",
    "UnknownModel",
    "UnknownOntology",
    "UnknownShard",
    "UnsupportedInput",
    "UnsupportedMediaType",
    "WrongShape",
    "named",
    "one_line",
]


class MicroModelError(Exception):
    """Base of every error this system raises on purpose; its text fits on one line."""


class BadInput(MicroModelError):
    """Something a user handed in cannot be used; exit code 2 or a row in the failures table."""


class UnsupportedInput(BadInput):
    """A file whose kind is not one of: video, folder of pictures, picture or GeoTIFF scene."""


class BadVideo(BadInput):
    """A file that should be a video is empty, truncated, has no pictures, or changes size midway."""


class BadPicture(BadInput):
    """A picture that cannot be decoded."""


class NotCoco(BadInput):
    """A labels file that is not JSON, or is JSON but not COCO."""


class BadAnnotation(BadInput):
    """A box, mask or keypoint that is impossible: NaN, no area, or outside its picture."""


class UnknownFrame(BadInput):
    """A label or request names a frame that its shard does not have."""


class UnknownClass(BadInput):
    """A label names a category that its ontology does not have."""


class BadShardId(BadInput):
    """A shard id with characters that cannot be part of a path or URL."""


class DuplicateShard(BadInput):
    """Two different sources claim the same shard id."""


class BadLabelConfig(BadInput):
    """A labelling configuration of another tool that cannot be read, or that fits no ontology of the store."""


class BadLine(BadInput):
    """An assembly line that could never run: a cycle, a stage that does not fit the one before it, a model that is not there."""


class BadRecipe(BadInput):
    """A recipe name that does not exist, or values that contradict each other."""


class BadMetadata(BadInput):
    """What a client says of a picture cannot be: half a place, one that is not on Earth, a time without an offset."""


class BadRules(BadInput):
    """Rules that lead pictures to micro-models and contradict each other, can never hold, or cannot be understood."""


class BadBackbone(BadInput):
    """A backbone name torchvision does not have, or weights that do not fit it or cannot be read."""


class ForeignPicture(BadInput):
    """A picture at an address that the service was not told to fetch from; nothing was fetched."""


class MissingExtra(BadInput):
    """An optional dependency is needed; names the extra to install."""


class NothingToLearn(BadInput):
    """A shard has no human or imported annotation to fit on."""


class WrongShape(MicroModelError):
    """Arrays handed to a record disagree with one another."""


class FitDiverged(MicroModelError):
    """The loss of one micro-model became NaN or infinite."""


class UnknownShard(BadInput):
    """The store has no shard of that id."""


class UnknownOntology(BadInput):
    """The store has no ontology of that name."""


class UnknownLine(BadInput):
    """The store has no assembly line of that name, or not that version of it."""


class AlreadyLive(BadInput):
    """A rollback to the generation that answers anyway."""


class UnknownModel(MicroModelError):
    """The registry has no such micro-model or generation."""


class StoreUnusable(BadInput):
    """The root is not a store of ours, is of a newer schema, or its server ignores preconditions."""


class StoreDenied(StoreUnusable):
    """The store's server knows no credentials of ours, or refuses them what was asked."""


class StoreUnreachable(StoreUnusable):
    """The store's server gives no answer, or only that it cannot answer now; worth trying again later."""


class StoreFull(MicroModelError):
    """The disk or quota is exhausted; nothing was committed."""


class AlreadyExists(MicroModelError):
    """An exclusive create found the key taken; somebody else committed first."""


class ConflictingAction(BadInput):
    """The ledger already has another action under the same event id; nothing of the batch was recorded."""


class ConflictingCanary(BadInput):
    """A trial of a generation that another one is in the way of, that is over, or that there is none of."""


class ConflictingRules(BadInput):
    """Somebody saved other rules than those that were to be replaced; nothing was saved."""


class CorruptLabels(MicroModelError):
    """Parquet of annotations or machine labels that is cut off, damaged or not what was written; names the object."""


class CorruptLedger(MicroModelError):
    """Batches of the ledger that are missing, cut off or not what was written; names the object."""


class BadRequest(BadInput):
    """The body or parameters of a request cannot be understood: not JSON, not base64, not multipart, contradictory."""


class EmptyRequest(BadRequest):
    """A request that carries no picture."""


class TooLarge(BadRequest):
    """A request with more bytes, pixels or pictures than the service accepts; says the limit."""


class TooSlow(BadRequest):
    """A request whose body did not arrive within the time allowed."""


class UnsupportedMediaType(BadRequest):
    """A request whose body has a media type that its route does not take; names those it does."""


class KeysNeeded(BadInput):
    """The service would answer outside its own machine, and has no API keys."""


class KeysUnusable(MicroModelError):
    """The file of API keys is gone, empty, or has a line that is no key."""


class Unauthorized(MicroModelError):
    """A request without an API key, or with one that is not known."""


class Forbidden(MicroModelError):
    """A request with an API key that has not the scope which the route needs."""


class HostUnavailable(MicroModelError):
    """No host can answer now: starting, gone, or its queue is full; worth trying again."""


class HostsBusy(HostUnavailable):
    """As many requests wait for a host as may wait."""


class TimedOut(MicroModelError):
    """A host did not answer within the time allowed."""


class UnknownJob(MicroModelError):
    """The store knows no job of that id."""


class ConflictingJob(BadInput):
    """Another job has that id already."""


class NoResult(MicroModelError):
    """A job that has nothing to show: it is not at its end, or it is of a kind that makes no labels."""


class JobsNotConfigured(MicroModelError):
    """The service was not told where jobs are submitted; says which setting."""


class JobsUnavailable(MicroModelError):
    """The cluster that runs jobs gives no answer, or refuses ours; worth trying again."""


class CorruptModel(MicroModelError):
    """Published weights that are damaged or are not the ones their card describes."""


class MissingObject(MicroModelError):
    """The store has no object of that key."""


def named(error: BaseException) -> str:
    """'Name: message', on one line whatever the message holds."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def one_line(error: BaseException) -> str:
    """The message on one line; the error's name if it has none."""
    return " ".join(str(error).split()) or type(error).__name__
