"""A damaged key of a catalogue is noticed, and a repair loses only the row with this key."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.store.test_catalogue import checkpoint_of, described, written

from odx_target.store.api import PoolDamaged
from odx_target.store.catalogue.interface import Checkpoint, FrozenMapState, SnapshotState
from odx_target.store.catalogue.memory import MemoryCatalogue
from odx_target.store.catalogue.sqlite import SqliteCatalogue
from odx_target.store.repairing.remains import remains_of
from odx_target.store.repairing.repair import save_repaired

GUIDS = [bytes([number]) * 16 for number in range(3)]


def make_blob(data: bytearray, at: int, size_bytes: int) -> None:
    """Flip the bit that changes the type of a key from text to blob. `at` is the position of the key in the file."""
    header_bytes = next(size for size in range(3, 6) if data[at - size] == size and data[at - size + 1] == 13 + 2 * size_bytes)
    data[at - header_bytes + 1] ^= 1


def make_no_text(data: bytearray, at: int, size_bytes: int) -> None:
    """Flip a bit, so that a key is not valid UTF-8."""
    data[at + size_bytes // 2] ^= 0x80


def make_other_text(data: bytearray, at: int, size_bytes: int) -> None:
    """Flip a bit, so that a key becomes another valid key."""
    data[at + size_bytes - 1] ^= 0x01


def saved(file: Path) -> Checkpoint:
    """Save a checkpoint with a volume, three frozen maps, three snapshots and three remembered values."""
    live = written(5000, 5)
    frozen_maps = [FrozenMapState(number, True, live.freeze()) for number in range(1, 4)]
    snapshots = [SnapshotState(guid, 3, f"s{guid[0]}", bytes(16), "a", bytes(16), 1, bytes(16), {}) for guid in GUIDS]
    remembered = {f"remembered {number}": b"value" for number in range(3)}
    checkpoint = replace(checkpoint_of(live, remembered=remembered), frozen_maps=frozen_maps, snapshots=snapshots)
    checkpoint = replace(checkpoint, volumes=tuple(replace(each, name="a") for each in checkpoint.volumes))
    catalogue = SqliteCatalogue(file)
    catalogue.save(checkpoint)
    catalogue.close()
    return checkpoint


DAMAGES = [make_blob, make_no_text, make_other_text]
KEYS = ["volume 0", "frozen map 2", f"snapshot {GUIDS[1].hex()}", "remembered 1"]


@pytest.fixture(params=DAMAGES)
def damage(request: pytest.FixtureRequest) -> Callable[[bytearray, int, int], None]:
    made: Callable[[bytearray, int, int], None] = request.param
    return made


def damaged(file: Path, key: str, damage: Callable[[bytearray, int, int], None]) -> SqliteCatalogue:
    """Open a catalogue after damage to one of its keys."""
    data = bytearray(file.read_bytes())
    assert data.count(key.encode()) == 1
    damage(data, data.index(key.encode()), len(key))
    file.write_bytes(data)
    return SqliteCatalogue(file)


@pytest.mark.parametrize("key", KEYS)
def test_a_damaged_key_is_named(tmp_path: Path, key: str, damage: Callable[[bytearray, int, int], None]) -> None:
    saved(tmp_path / "catalogue.db")
    catalogue = damaged(tmp_path / "catalogue.db", key, damage)
    with pytest.raises(PoolDamaged, match=f"stored under b?'{key[:4]}") as caught:
        catalogue.load()
    assert "\n" not in str(caught.value)
    catalogue.close()


@pytest.mark.parametrize("key", KEYS)
def test_a_repair_loses_only_the_row_with_the_damaged_key(
    tmp_path: Path, key: str, damage: Callable[[bytearray, int, int], None]
) -> None:
    checkpoint = saved(tmp_path / "catalogue.db")
    catalogue = damaged(tmp_path / "catalogue.db", key, damage)
    remains = remains_of(catalogue)
    assert remains is not None
    new = MemoryCatalogue()
    save_repaired(remains.checkpoint, catalogue, new)
    catalogue.close()
    expected = replace(
        checkpoint,
        volumes=tuple(each for each in checkpoint.volumes if key != f"volume {each.number}"),
        frozen_maps=[each for each in checkpoint.frozen_maps if key != f"frozen map {each.identifier}"],
        snapshots=[each for each in checkpoint.snapshots if key != f"snapshot {each.guid.hex()}"],
        remembered={name: value for name, value in checkpoint.remembered.items() if name != key},
    )
    assert described(MemoryCatalogue(new.content).load()) == described(expected)
    (complaint,) = remains.complaints
    assert "damaged or missing" in complaint


def test_a_body_of_another_type_is_lost_alone(tmp_path: Path) -> None:
    file = tmp_path / "catalogue.db"
    saved(file)
    catalogue = SqliteCatalogue(file)
    catalogue._connection.execute("UPDATE value SET body = CAST(x'ff00' AS TEXT) WHERE key = 'remembered 1'")
    with pytest.raises(PoolDamaged, match="stored under 'remembered 1'"):
        catalogue.load()
    remains = remains_of(catalogue)
    catalogue.close()
    assert remains is not None
    assert sorted(remains.checkpoint.remembered) == ["remembered 0", "remembered 2"]
