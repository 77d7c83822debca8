"""Which frames a person should look at next."""

__all__ = ["evenly_spaced"]


def evenly_spaced(num_frames: int, count: int, *, with_ends: bool = False) -> list[int]:
    """`count` frames spread over 0..num_frames-1 (all of them if there are no more), in order.

    with_ends: first and last are among them, as interpolation wants; else the middles of equal stretches, which keeps
        every frame nearest to a labelled one.
    """
    if count >= num_frames:
        return list(range(num_frames))
    if with_ends and count > 1:
        return [round(i * (num_frames - 1) / (count - 1)) for i in range(count)]
    return [int((i + 0.5) * num_frames / count) for i in range(count)]
