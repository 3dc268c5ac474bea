"""A naive model of a block map: a dict of the blocks that are not holes."""

from odx_target.store.map.difference import changes
from odx_target.store.map.frozen_root import MapReader
from odx_target.store.volumes.changes import Change
from odx_target.turns import Steps

Runs = list[tuple[int, int]]


class MapModel:
    def __init__(self, size_blocks: int, places: dict[int, int] | None = None) -> None:
        self.size_blocks = size_blocks
        self.places = places if places is not None else {}

    def copy(self) -> "MapModel":
        return MapModel(self.size_blocks, dict(self.places))

    def assign(self, block: int, place: int, count: int) -> None:
        self.places.update(zip(range(block, block + count), range(place, place + count), strict=True))

    def clear(self, block: int, count: int) -> None:
        self.places = {at: place for at, place in self.places.items() if not block <= at < block + count}

    def copy_range(self, source: "MapModel", source_block: int, block: int, count: int) -> None:
        found = {
            at - source_block + block: place for at, place in source.places.items() if source_block <= at < source_block + count
        }
        self.clear(block, count)
        self.places.update(found)

    def resize(self, size_blocks: int) -> None:
        self.clear(size_blocks, max(0, self.size_blocks - size_blocks))
        self.size_blocks = size_blocks

    def runs(self, block: int, count: int) -> Runs:
        runs: Runs = []
        for at in range(block, block + count):
            place = self.places.get(at, 0)
            if runs:
                first, length = runs[-1]
                if place == (first + length if first else 0):
                    runs[-1] = (first, length + 1)
                    continue
            runs.append((place, 1))
        return runs


def places_of(reader: MapReader) -> dict[int, int]:
    """Return the place of each mapped block, found by the extents of the map and the runs of each extent."""
    places = {}
    end, before = 0, None
    for block, count, mapped in reader.extents():
        assert block == end
        assert mapped is not before
        end, before = block + count, mapped
        if mapped:
            for place, length in reader.runs(block, count):
                assert place
                places.update(zip(range(block, block + length), range(place, place + length), strict=True))
                block += length
    assert end == reader.size_blocks
    return places


def check(reader: MapReader, model: MapModel) -> None:
    assert reader.size_blocks == model.size_blocks
    assert places_of(reader) == model.places
    assert reader.mapped_count() == len(model.places)


def differences(before: MapReader, after: MapReader, block: int = 0, steps: int | None = None) -> list[tuple[int, int, Change]]:
    """List the runs (block, count_blocks, change) in which two maps differ. Each comparison has `steps` steps."""
    end = max(before.size_blocks, after.size_blocks)
    found: list[tuple[int, int, Change]] = []
    while block < end:
        parts = list(changes(before, after, block, None if steps is None else Steps(steps)))
        assert [first + count for first, count, _ in parts[:-1]] == [first for first, _, _ in parts[1:]]
        assert parts[0][0] == block
        for first, count, change in parts:
            assert count > 0
            if found and found[-1][0] + found[-1][1] == first and found[-1][2] is change:
                first, joined, change = found.pop()
                count += joined
            found.append((first, count, change))
        block = parts[-1][0] + parts[-1][1]
    return [run for run in found if run[2] is not Change.NONE]
