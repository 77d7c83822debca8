"""The picture of one frame, as people and other programs are shown it."""

from training.data.pictures import encode_jpeg
from training.data.sources import open_frames
from training.errors import BadInput, StoreUnusable, UnknownFrame
from training.store.store import Store

__all__ = ["frame_jpeg"]

JPEG_QUALITY = 92


def frame_jpeg(store: Store, shard_id: str, frame_index: int) -> bytes:
    """Of a frame of the store, which alone says in which file it is.

    Raises:
        UnknownShard, UnknownFrame: there is none.
        StoreUnusable: its file cannot be read now.
    """
    shard = store.shard(shard_id)
    if not 0 <= frame_index < shard.num_frames:
        raise UnknownFrame(f"{shard_id}: frame {frame_index}, needed 0..{shard.num_frames - 1}")
    try:
        with open_frames(shard) as frames:
            (frame,) = frames.read([frame_index])
            return encode_jpeg(frame.image_HW3, JPEG_QUALITY)
    except (BadInput, OSError) as error:
        raise StoreUnusable(f"{shard_id}: frame {frame_index} cannot be read from {shard.uri}: {error}") from error
