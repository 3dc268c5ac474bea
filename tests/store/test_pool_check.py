"""The check of a closed pool finds all damage, says which blocks are lost, and changes nothing."""

from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest
from tests.store.pools import Directory, block, flip_bit, write

from odx_target.store.api import BLOCK_BYTES, PoolDamaged, PoolInUse, StoreError
from odx_target.store.catalogue.interface import Found
from odx_target.store.catalogue.sqlite import SqliteCatalogue
from odx_target.store.checking.pool_check import LostRange, PoolReport
from odx_target.store.checking.sound_places import SoundPlaces
from odx_target.store.map.leaf import HOLES, LEAF_BLOCKS
from odx_target.store.open import PoolOptions, check_directory_pool
from odx_target.store.segments.lost_place import LOST_PLACE
from odx_target.store.segments.places import COMPRESSED, extent_place, located
from odx_target.store.segments.segment import PLACE_BITS

SIZE = 200
WRITTEN = 100


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    """An open pool with some sealed segments. A durable frozen map has the first version of blocks 0 to 9."""
    directory = Directory(tmp_path / "pool")
    volume = directory.pool.create_volume("a", SIZE, {})
    for at in range(WRITTEN):
        write(directory, volume, at, [block(at + 1)])
        directory.pool.commit()
    volume.freeze(durable=True)
    for at in range(10):
        write(directory, volume, at, [block(1000 + at)])
    directory.pool.commit()
    return directory


def check(directory: Directory) -> PoolReport:
    steps: list[int] = []
    report = check_directory_pool(directory.path, steps.append)
    assert sum(steps) == report.checked_blocks
    return report


def contents(directory: Directory) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in directory.path.rglob("*") if path.is_file()}


@pytest.mark.parametrize("ended", ["closed", "killed"])
def test_a_sound_pool(directory: Directory, ended: str) -> None:
    if ended == "closed":
        directory.close()
    else:
        directory.environment.run(directory.pool.flush())
        directory.kill()
    before = contents(directory)
    report = check(directory)
    assert report.is_sound, report
    assert (report.volumes, report.frozen_maps, report.mapped_blocks) == (1, 1, 2 * WRITTEN)
    assert report.checked_blocks > WRITTEN
    assert contents(directory) == before
    directory.open()


def test_lost_blocks_are_named(directory: Directory) -> None:
    frozen = next(iter(directory.pool.frozen_maps))
    directory.close()
    found = {value: flip_bit(directory.path, block(value)) for value in (5, 51)}

    def reason(value: int) -> str:
        return f"block {found[value][1]} of segment {found[value][0]} does not match its checksum"

    report = check(directory)
    assert report.damaged_blocks == 2
    assert report.lost == [
        LostRange("a", None, 50, 1, reason(51)),
        LostRange(None, frozen, 4, 1, reason(5)),
        LostRange(None, frozen, 50, 1, reason(51)),
    ]


def test_damage_that_costs_no_data(directory: Directory) -> None:
    directory.close()
    first, second = directory.segment_paths()[1:3]
    data = bytearray(first.read_bytes())
    data[9] ^= 1
    first.write_bytes(data)
    data = bytearray(second.read_bytes())
    data[-10] ^= 1
    second.write_bytes(data)
    report = check(directory)
    assert not report.is_sound
    assert report.lost == []
    assert report.complaints == [
        f"segment {int(first.stem)}: the header of the batch at block 0 is damaged",
        f"segment {int(second.stem)}: its footer is damaged",
    ]


def test_a_missing_segment_makes_the_pool_damaged(directory: Directory) -> None:
    directory.close()
    directory.segment_paths()[1].unlink()
    with pytest.raises(PoolDamaged, match="is missing"):
        check(directory)


def test_a_pool_in_use_is_refused(directory: Directory) -> None:
    with pytest.raises(PoolInUse):
        check(directory)


def test_a_directory_that_is_no_pool_is_refused_and_not_made(tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    with pytest.raises(StoreError, match=f"there is no pool in {absent}"):
        check_directory_pool(absent, lambda _count: None)
    assert not absent.exists()


def test_a_catalogue_that_the_log_cannot_replace_is_missed(directory: Directory) -> None:
    directory.close()
    (directory.path / "catalogue.sqlite").unlink()
    directory.segment_paths()[0].unlink()
    before = len(directory.segment_paths())
    with pytest.raises(PoolDamaged, match="the log cannot replace it: the log ends before record 1,"):
        check(directory)
    with pytest.raises(PoolDamaged, match="the log cannot replace it: the log ends before record 1,"):
        directory.open()
    assert len(directory.segment_paths()) == before


def test_all_blocks_of_a_damaged_extent_are_lost(tmp_path: Path) -> None:
    directory = Directory(tmp_path / "pool")
    volume = directory.pool.create_volume("a", SIZE, {"compression": "lz4"})
    data = [block(at + 1) for at in range(48)]
    data[18] = Random(1).randbytes(BLOCK_BYTES)
    write(directory, volume, 0, [b"".join(data)])
    write(directory, volume, 20, [block(99)])
    directory.pool.commit()
    directory.close()
    report = check(directory)
    assert (report.is_sound, report.mapped_blocks) == (True, 48)
    place = volume.block_map.place(18)  # type: ignore[attr-defined]
    segment, first, stored_blocks, _ = located(place)
    assert (place >= COMPRESSED, stored_blocks) == (True, 2)
    path = directory.segment_paths()[segment - 1]
    changed = bytearray(path.read_bytes())
    changed[(first + 1) * BLOCK_BYTES + 50] ^= 1
    path.write_bytes(changed)
    report = check(directory)
    reason = f"the compressed extent at block {first} of segment {segment} does not match its checksums"
    assert report.damaged_blocks == 1
    assert report.lost == [LostRange("a", None, 16, 4, reason), LostRange("a", None, 21, 11, reason)]


def test_a_leaf_that_maps_share_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check takes as many steps as there are different nodes, not as many as there are blocks in all maps."""
    directory = Directory(tmp_path / "pool")
    leaves, snapshots = 40, 20
    volume = directory.pool.create_volume("a", leaves * LEAF_BLOCKS, {})
    for leaf in range(leaves):
        write(directory, volume, leaf * LEAF_BLOCKS, [block(leaf + 1)])
    for number in range(snapshots):
        volume.snapshot(f"s{number}")
        write(directory, volume, number * LEAF_BLOCKS, [block(1000 + number)])
        directory.pool.commit()
    directory.close()
    reads: list[int] = []
    real = SqliteCatalogue.leaf_entries

    def leaf_entries(self: SqliteCatalogue, numbers: Sequence[int]) -> list[Found]:
        reads.extend(numbers)
        return real(self, numbers)

    monkeypatch.setattr(SqliteCatalogue, "leaf_entries", leaf_entries)
    report = check(directory)
    assert report.is_sound
    assert report.mapped_blocks == leaves * (snapshots + 1)
    assert len(reads) == leaves + snapshots
    flip_bit(directory.path, block(leaves))
    reads.clear()
    report = check(directory)
    assert report.lost_ranges == snapshots + 1, "the last leaf of each map"
    assert len(reads) == leaves + snapshots - 1 + (snapshots + 1)


@pytest.mark.parametrize("damages", [(), (5,), (5, 700), range(0, 1000, 40)])
@pytest.mark.parametrize("compression", ["off", "lz4"])
def test_leaves_with_many_places_have_the_same_faults_as_place_by_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damages: Sequence[int], compression: str
) -> None:
    directory = Directory(tmp_path / "pool", PoolOptions(segment_blocks=512, cleaning=False))
    volume, random = directory.pool.create_volume("a", LEAF_BLOCKS, {"compression": compression}), Random(1)
    for at in random.sample(range(0, LEAF_BLOCKS, 4), LEAF_BLOCKS // 4):
        write(directory, volume, at, [block(at + 1) + block(at + 2)])
        directory.pool.commit()
    write(directory, volume, 64, [b"".join(map(block, range(2000, 2032)))])
    directory.close()
    for at in damages:
        flip_bit(directory.path, block(at // 4 * 4 + 1))
    fast = check(directory)
    monkeypatch.setattr(SoundPlaces, "have_all", lambda _self, _entries: False)
    slow = check(directory)
    assert fast == slow
    assert fast.is_sound == (not damages)
    assert fast.lost_ranges == len({at // 4 for at in damages if not 64 <= at < 96})


def test_a_leaf_whose_segment_is_unknown_or_too_short_is_not_sound() -> None:
    sound = SoundPlaces()
    assert sound.have_all(HOLES)
    leaf = HOLES[:]
    leaf[7] = 3 << PLACE_BITS | 9
    assert not sound.have_all(leaf)
    sound.add(3, 9)
    assert not sound.have_all(leaf)
    sound.add(3, 10)
    assert sound.have_all(leaf)
    leaf[8] = extent_place(3 << PLACE_BITS | 8, 3)
    assert not sound.have_all(leaf)
    leaf[8] = LOST_PLACE
    assert not sound.have_all(leaf)
    leaf[8] = 4 << PLACE_BITS
    assert not sound.have_all(leaf)
