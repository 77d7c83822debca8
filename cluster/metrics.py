"""Where a running job stands, for the dashboard and Prometheus: sums over the job, never a series for a shard.

Every Ray node exports what its processes say; `ray_` is put before the names.
"""

from collections.abc import Sequence

from ray.util.metrics import Counter, Gauge

from cluster.coordinator import FleetState
from training.learning.clip import ClipReceipt

__all__ = ["FitMetrics", "LabelMetrics"]


class FitMetrics:
    """Micro-models of a fit, each in one state: waiting, working, finished or failed."""

    def __init__(self) -> None:
        self._shards = Gauge("micromodels_fit_shards", "Micro-models of the running fit, by state.", ("state",))

    def show(self, state: FleetState) -> None:
        """Say where the fleet stands."""
        working = min(sum(map(len, state.leased.values())), state.total - state.finished)
        self._shards.set(state.total - state.finished - working, {"state": "waiting"})
        self._shards.set(working, {"state": "working"})
        self._shards.set(state.finished - state.failed, {"state": "finished"})
        self._shards.set(state.failed, {"state": "failed"})


class LabelMetrics:
    """Clips of a label job, each in one state: waiting, finished or failed; and the frames in them.

    Args:
        total: clips of the job.
    """

    def __init__(self, total: int) -> None:
        self._waiting, self._finished, self._failed = total, 0, 0
        self._clips = Gauge("micromodels_label_clips", "Clips of the running label job, by state.", ("state",))
        self._frames = Counter("micromodels_labelled_frames", "Frames labelled since the job began.")

    def add(self, receipts: Sequence[ClipReceipt]) -> None:
        """Count clips that are over."""
        failed = sum(receipt.error is not None for receipt in receipts)
        self._waiting -= len(receipts)
        self._finished += len(receipts) - failed
        self._failed += failed
        self._clips.set(self._waiting, {"state": "waiting"})
        self._clips.set(self._finished, {"state": "finished"})
        self._clips.set(self._failed, {"state": "failed"})
        if frames := sum(receipt.num_frames for receipt in receipts):
            self._frames.inc(frames)
