import pytest

from training.data.shards import SceneGrid
from training.data.tiles import tiles_at, tiles_touching


@pytest.mark.parametrize(("tile", "stride"), [(128, 128), (128, 96), (100, 130)])
def test_tiles_are_those_whose_windows_say_so(tile: int, stride: int) -> None:
    grid = SceneGrid(width=400, height=300, tile=tile, stride=stride, bands=(1, 2, 3), dtype="uint8")
    windows = {index: grid.window(index) for index in range(grid.rows * grid.columns)}
    for x in (0.0, 0.5, 96.0, 99.9, 127.5, 128.0, 129.5, 256.0, 399.5):
        for y in (0.0, 128.0, 255.9, 299.0):
            inside = [
                index
                for index, window in windows.items()
                if window.column <= x < window.column + window.width and window.row <= y < window.row + window.height
            ]
            assert tiles_at(grid, x, y) == inside
            touching = [
                index
                for index, window in windows.items()
                if window.column < x + 50
                and x < window.column + window.width
                and window.row < y + 0.5
                and y < window.row + window.height
            ]
            assert tiles_touching(grid, x, y, x + 50, y + 0.5) == touching
