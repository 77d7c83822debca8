"""Which shard pictures are for, by their looks and places: what a host knows of all domains, in plain torch and numpy."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial

from services.payload import Picture
from services.settings import Settings
from training.data.frames import Frame
from training.data.pictures import decode_picture
from training.domain.candidates import CandidateReader, Candidates, Chosen
from training.domain.nearest import Abstention
from training.errors import BadBackbone, HostUnavailable, MicroModelError
from training.models.backbones import Backbone
from training.models.eye import Eye
from training.store.store import Store

__all__ = ["Asked", "Looked", "Looker"]

PATIENCE_S = 0.2  # for a newer view of the store, while there is an older one
REST = 10  # times as long as reading the store took, it is left in peace
Place = tuple[float, float]  # longitude and latitude, degrees
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A picture that no rule decided on."""

    picture: Picture
    place: Place | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """answers and sizes_wh (pixels of the upright picture): one per picture, in order.

    eye: identity of the network that looked.  num_domains: shards that could have been chosen.
    num_undescribed: live shards that could not, since nobody has described them for this network.
    """

    answers: tuple[Chosen | Abstention, ...]
    sizes_wh: tuple[tuple[int, int], ...]
    eye: str
    num_domains: int
    num_undescribed: int
    seconds: float


class Looker:
    """Blocking and thread-safe, except that `look` must be called by one thread at a time."""

    def __init__(self, store: Store, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._settings, self._clock = store, settings, clock
        self._lock = threading.Lock()
        self._reading = ThreadPoolExecutor(1, "domains")
        self._eye: Eye | None = None
        self._reader: CandidateReader | None = None
        self._newer: Future[Candidates] | None = None
        self._candidates: Candidates | None = None
        self._due = 0.0

    def decoded(self, pictures: Sequence[Picture]) -> list[Frame]:
        """Raises BadPicture."""
        most = self._settings.max_image_pixels
        images = [decode_picture(picture.data, name=picture.name, max_pixels=most) for picture in pictures]
        return [Frame(shard_id="asked", frame_index=position, image_HW3=image) for position, image in enumerate(images)]

    def candidates(self) -> Candidates:
        """What the store has, at most `live_ttl_s` old, or REST times as old as reading it took; older while it is being read.

        Raises:
            StoreUnusable: the store cannot be read, and never could.
            HostUnavailable: the network that is set cannot be had.
        """
        with self._lock:
            if self._newer is None and (self._candidates is None or self._due <= self._clock()):
                self._newer = self._reading.submit(self._read)
            newer, older = self._newer, self._candidates
        if newer is not None:
            wait([newer], None if older is None else PATIENCE_S)
            with self._lock:
                if self._newer is newer and newer.done():
                    self._taken(newer)
                older = self._candidates
        if older is None:
            assert newer is not None
            return newer.result()
        return older

    def look(
        self, candidates: Candidates, frames: Sequence[Frame], places: Sequence[Place | None], ontology: str | None
    ) -> Looked:
        started = time.perf_counter()
        eye = self._the_eye()
        answers = [
            candidates.choose(partial(eye.glance, frame), ontology=ontology, place=place)
            for frame, place in zip(frames, places, strict=True)
        ]
        return Looked(
            answers=tuple(answers),
            sizes_wh=tuple((frame.width, frame.height) for frame in frames),
            eye=eye.identity,
            num_domains=len(candidates.domains.shard_ids),
            num_undescribed=len(candidates.undescribed),
            seconds=time.perf_counter() - started,
        )

    def _taken(self, newer: Future[Candidates]) -> None:
        self._newer = None
        try:
            self._candidates = newer.result()
        except MicroModelError as error:
            if self._candidates is None:
                raise
            _log.warning("domains stay as they were error=%s", error)

    def _read(self) -> Candidates:
        started = self._clock()
        try:
            if self._reader is None:
                self._reader = CandidateReader(self._store, self._the_eye().identity)
            before = self._candidates
            found = self._reader.read()
            if before is None or before.domains is not found.domains or before.undescribed != found.undescribed:
                self._say(found)
            return found
        finally:
            now = self._clock()
            self._due = now + max(self._settings.live_ttl_s, REST * (now - started))

    def _say(self, found: Candidates) -> None:
        eye, known = self._the_eye().identity, len(found.domains.shard_ids)
        _log.info("domains eye=%s described=%d undescribed=%d", eye, known, len(found.undescribed))
        if found.undescribed and not known:
            others = ", ".join(self._store.descriptors.eyes()) or "no network"
            _log.warning("no live shard is described for eye=%s, the store has descriptors for %s", eye, others)

    def _the_eye(self) -> Eye:
        """Made when it is first needed: whoever does not route by looks pays nothing for it."""
        if self._eye is None:
            backbone = Backbone(name=self._settings.eye_backbone, weights=self._settings.eye_weights)
            try:
                self._eye = Eye(backbone)
            except BadBackbone as error:
                raise HostUnavailable(f"eye_backbone, eye_weights: {error}") from error
        return self._eye
