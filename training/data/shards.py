"""The domain one micro-model owns: a video, a folder of pictures, or a scene cut into tiles."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from training.data.identifiers import check_identifier
from training.data.known_fields import known_fields
from training.errors import BadInput, StoreUnusable

__all__ = ["Affine", "SceneGrid", "Shard", "ShardKind", "Window"]

ShardKind = Literal["video", "images", "scene"]
Affine = tuple[float, float, float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A rectangle of a scene, in scene pixels; the last column and row of tiles may be cut short."""

    column: int
    row: int
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneGrid:
    """How one large picture is cut into tiles: row-major, `stride` pixels apart, `tile` pixels wide and high.

    transform: (a, b, c, d, e, f) with x = a*column + b*row + c and y = d*column + e*row + f in `crs`;
        None with crs None for a plain picture.
    crs: 'EPSG:…' or WKT.
    bands: 1-based band numbers that become red, green and blue.
    scale: per band the values that become 0 and 255, fixed when the scene was added; None if its pixels are uint8 already.
    """

    width: int
    height: int
    tile: int
    stride: int
    bands: tuple[int, ...]
    dtype: str
    crs: str | None = None
    transform: Affine | None = None
    scale: tuple[tuple[float, float], ...] | None = None

    @property
    def columns(self) -> int:
        return _steps(self.width, self.tile, self.stride)

    @property
    def rows(self) -> int:
        return _steps(self.height, self.tile, self.stride)

    def window(self, frame_index: int) -> Window:
        """The window of tile `frame_index`, clipped to the scene."""
        row, column = divmod(frame_index, self.columns)
        x, y = column * self.stride, row * self.stride
        return Window(column=x, row=y, width=min(self.tile, self.width - x), height=min(self.tile, self.height - y))


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """One row of the store's shard table.

    uri: absolute path or URL of the video, the folder of pictures or the scene.
    num_frames, width, height: frames, and pixels of one upright frame (of one full tile for a scene).
    first_frame: where a time segment of a long video starts in its file; frame_index counts from 0 within the shard.
    fps: frames per second on average; None for pictures.
    content_hash: 'sha256:…' of the source's bytes.
    """

    shard_id: str
    uri: str
    kind: ShardKind
    num_frames: int
    width: int
    height: int
    content_hash: str
    fps: float | None = None
    first_frame: int = 0
    scene: SceneGrid | None = None

    def __post_init__(self) -> None:
        check_identifier(self.shard_id, "shard id")
        if min(self.num_frames, self.width, self.height) < 1:
            raise BadInput(f"{self.shard_id}: {self.num_frames} frames of {self.width}x{self.height}, needed at least one pixel")
        if (self.kind == "scene") != (self.scene is not None):
            raise BadInput(f"{self.shard_id}: kind {self.kind!r} with scene grid {self.scene}")

    @property
    def frame_wh(self) -> tuple[int, int]:
        """Pixels of one upright frame, of one full tile for a scene."""
        return self.width, self.height

    def size_hw(self, frame_index: int) -> tuple[int, int]:
        """Height and width of one frame, pixels; tiles at the edge of a scene may be cut short."""
        if self.scene is None:
            return self.height, self.width
        window = self.scene.window(self.first_frame + frame_index)
        return window.height, window.width

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Shard":
        """Keys that a newer version added are ignored.

        Raises:
            StoreUnusable: a key is missing, or has a value that it cannot have.
        """
        try:
            scene = document.get("scene")
            return cls(**{**known_fields(cls, document), "scene": None if scene is None else _grid(scene)})
        except (KeyError, TypeError, ValueError) as error:
            raise StoreUnusable(f"shard {document.get('shard_id')!r}: {error!r}, needed every key a shard has") from error


def _grid(document: Mapping[str, Any]) -> SceneGrid:
    transform, scale = document.get("transform"), document.get("scale")
    values = {
        "bands": tuple(document["bands"]),
        "transform": None if transform is None else tuple(transform),
        "scale": None if scale is None else tuple((float(low), float(high)) for low, high in scale),
    }
    return SceneGrid(**known_fields(SceneGrid, document) | values)


def _steps(size: int, tile: int, stride: int) -> int:
    return 1 + max(0, -(-(size - tile) // stride))
