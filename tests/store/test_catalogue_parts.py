"""The frozen maps and snapshots in a catalogue: a save stores only those that are new or have changed."""

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from tests.store.kept_catalogue import Kept, KeptInFile, KeptInMemory
from tests.store.pools import Machine, block, read
from tests.store.test_catalogue import checkpoint_of, described, fail_if, load, written
from tests.torture.damage import repair

from odx_target.store.api import PoolDamaged, Unwritable
from odx_target.store.catalogue.interface import Checkpoint, FrozenMapState, SnapshotState, VolumeState
from odx_target.store.catalogue.memory import CatalogueContent, MemoryCatalogue
from odx_target.store.catalogue.node_codec import sealed, unsealed
from odx_target.store.catalogue.sqlite import SqliteCatalogue

MAX_HEAD_BYTES = 1500
"""Largest head of a pool with one volume and few segments, for any number of snapshots."""


@pytest.fixture(params=[KeptInMemory, KeptInFile])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Kept:
    made: Kept = request.param(tmp_path)
    return made


class Counted:
    """Counts the parts that a catalogue stores and deletes, and the bytes of its head."""

    def __init__(self, catalogue: MemoryCatalogue) -> None:
        self.put: list[str] = []
        self.deleted: list[str] = []
        self.head_bytes = 0
        put, delete, put_head = catalogue._put_parts, catalogue._delete_parts, catalogue._put_head

        def put_parts(parts: Iterable[tuple[str, bytes]]) -> None:
            rows = list(parts)
            self.put += [key for key, _ in rows]
            put(rows)

        def delete_parts(keys: Iterable[str] | None) -> None:
            assert keys is not None
            gone = list(keys)
            self.deleted += gone
            delete(gone)

        def put_head_of(body: bytes) -> None:
            self.head_bytes = len(body)
            put_head(body)

        catalogue._put_parts, catalogue._delete_parts, catalogue._put_head = put_parts, delete_parts, put_head_of  # type: ignore[method-assign]

    def take(self) -> tuple[int, int]:
        """Return the numbers of stored and of deleted parts since the last call."""
        counts = len(self.put), len(self.deleted)
        self.put, self.deleted = [], []
        return counts


def machine_with(count_snapshots: int) -> tuple[Machine, Counted]:
    machine = Machine()
    volume = machine.pool.create_volume("a", 100, {})
    for number in range(count_snapshots):
        volume.snapshot(f"s{number}", {"schedule": "hourly"})
        if number % 50 == 0:
            machine.environment.run(machine.pool.committed())
    machine.checkpoint()
    machine.reopen()
    catalogue = machine.pool._catalogue
    assert isinstance(catalogue, MemoryCatalogue)
    return machine, Counted(catalogue)


@pytest.mark.parametrize("count_snapshots", [1, 10, 300])
def test_a_checkpoint_stores_only_the_snapshots_that_have_changed(count_snapshots: int) -> None:
    machine, counted = machine_with(count_snapshots)
    volume = machine.pool.volumes["a"]
    machine.checkpoint()
    assert counted.take() == (0, 0)
    volume.write(5, [block(1)])
    machine.checkpoint()
    assert counted.take() == (1, 0), "the volume has another root"
    assert counted.head_bytes < MAX_HEAD_BYTES
    volume.snapshots["s0"].rename("renamed")
    machine.checkpoint()
    assert counted.take() == (1, 0)
    volume.snapshots["renamed"].hold("owner")
    volume.snapshot("new")
    machine.checkpoint()
    assert counted.take() == (3, 0), "the held one, and the new one with its frozen map"
    volume.snapshots["new"].delete()
    frozen = volume.freeze()
    machine.checkpoint()
    assert counted.take() == (1, 2)
    frozen.release()
    machine.checkpoint()
    assert counted.take() == (0, 1)
    assert counted.head_bytes < MAX_HEAD_BYTES


@pytest.mark.parametrize("count_volumes", [1, 16_384])
def test_a_checkpoint_stores_only_the_volumes_that_have_changed(count_volumes: int) -> None:
    live = written(5000, 5)
    root = live.freeze()
    volumes = [VolumeState(number, f"v{number}", bytes(16), {}, root, bytes(16)) for number in range(count_volumes)]
    catalogue = MemoryCatalogue()
    counted = Counted(catalogue)

    def take() -> tuple[int, int]:
        catalogue.save(Checkpoint({"segment": 1}, {}, tuple(volumes)))
        assert counted.head_bytes < MAX_HEAD_BYTES
        return counted.take()

    assert take() == (count_volumes, 0)
    assert take() == (0, 0)
    middle = count_volumes // 2
    live.assign(7, 7)
    for change in ({"root": live.freeze()}, {"name": "renamed"}, {"attributes": {"a": "b"}}, {"lineage": b"x" * 16}):
        volumes[middle] = replace(volumes[middle], **change)  # type: ignore[arg-type]
        assert take() == (1, 0)
    loaded = MemoryCatalogue(catalogue.content).load()
    assert loaded is not None
    assert [each.name for each in loaded.volumes] == [each.name for each in volumes]
    del volumes[middle]
    assert take() == (0, 1)


def snapshot_of(number: int, name: str = "s") -> SnapshotState:
    guid = number.to_bytes(16, "big")
    return SnapshotState(guid, number, f"{name}{number}", bytes(16), "a", bytes(16), number, bytes(16), {"a": "b"})


class NaiveParts:
    """Frozen maps and snapshots that change at random."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._map = written(5000, 5)
        self._next = 1
        self.frozen_maps: dict[int, FrozenMapState] = {}
        self.snapshots: dict[int, SnapshotState] = {}

    def change(self) -> None:
        kind = self._random.randrange(5)
        if kind < 2 or not self.frozen_maps:
            number, self._next = self._next, self._next + 1
            self._map.assign(self._random.randrange(5000), number)
            self.frozen_maps[number] = FrozenMapState(number, bool(kind), self._map.freeze())
            if kind:
                self.snapshots[number] = snapshot_of(number)
        elif kind < 4:
            number = self._random.choice(sorted(self.frozen_maps))
            del self.frozen_maps[number]
            self.snapshots.pop(number, None)
        elif self.snapshots:
            number = self._random.choice(sorted(self.snapshots))
            self.snapshots[number] = replace(self.snapshots[number], name=f"renamed {self._random.random()}")

    def checkpoint(self) -> Checkpoint:
        frozen_maps, snapshots = tuple(self.frozen_maps.values()), tuple(self.snapshots.values())
        return replace(checkpoint_of(self._map), frozen_maps=frozen_maps, snapshots=snapshots)


@pytest.mark.parametrize("seed", range(10))
def test_saves_that_fail_at_their_end_and_openings_lose_nothing(kept: Kept, seed: int) -> None:
    parts, random = NaiveParts(seed), Random(seed)
    failures: list[bool] = []
    catalogue = kept.open_failing(lambda: fail_if(bool(failures) and failures.pop(0)))
    catalogue.load()
    for _ in range(30):
        for _ in range(random.randrange(4)):
            parts.change()
        failures.append(random.randrange(3) == 0)
        checkpoint = parts.checkpoint()
        with suppress(Unwritable):
            catalogue.save(checkpoint)
    failures.clear()
    catalogue.save(checkpoint)
    catalogue.close()
    assert described(load(kept)) == described(checkpoint)


def saved(count: int) -> tuple[CatalogueContent, Checkpoint]:
    parts = NaiveParts(1)
    while len(parts.snapshots) < count:
        parts.change()
    content = CatalogueContent()
    checkpoint = parts.checkpoint()
    MemoryCatalogue(content).save(checkpoint)
    return content, checkpoint


def test_the_head_of_an_older_program_is_read_and_its_parts_are_stored() -> None:
    content, checkpoint = saved(4)
    assert content.head is not None
    document = json.loads(unsealed(b"head", content.head))
    rows = {key: json.loads(unsealed(key.encode(), body)) for key, body in content.parts.items()}
    document["volumes"] = [row for key, row in rows.items() if key.startswith("volume ")]
    document["frozen_maps"] = [row for key, row in rows.items() if key.startswith("frozen map ")]
    document["snapshots"] = [row for key, row in rows.items() if key.startswith("snapshot ")]
    content.head = sealed(b"head", json.dumps(document).encode())
    parts = dict(content.parts)
    content.parts.clear()
    catalogue = MemoryCatalogue(content)
    loaded = catalogue.load()
    assert described(loaded) == described(checkpoint)
    assert loaded is not None
    catalogue.save(loaded)
    assert content.parts == parts
    assert described(MemoryCatalogue(content).load()) == described(checkpoint)


def test_a_file_of_an_older_program_gets_the_table(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.sqlite"
    catalogue = SqliteCatalogue(path)
    catalogue._connection.execute("DROP TABLE part")
    assert catalogue.load() is None
    catalogue.save(checkpoint_of(written(100, 1)))
    catalogue.close()
    catalogue = SqliteCatalogue(path)
    assert catalogue.load() is not None
    catalogue.close()


def lose(content: CatalogueContent, key: str) -> None:
    del content.parts[key]


def flip(content: CatalogueContent, key: str) -> None:
    body = bytearray(content.parts[key])
    body[3] ^= 1
    content.parts[key] = bytes(body)


def exchange(content: CatalogueContent, key: str) -> None:
    other = next(each for each in content.parts if each != key)
    content.parts[key], content.parts[other] = content.parts[other], content.parts[key]


@pytest.mark.parametrize("damage", [lose, flip, exchange])
@pytest.mark.parametrize("kind", ["volume ", "frozen map ", "snapshot "])
def test_a_damaged_part_is_noticed(damage: Callable[[CatalogueContent, str], None], kind: str) -> None:
    content, _ = saved(4)
    damage(content, next(key for key in content.parts if key.startswith(kind)))
    with pytest.raises(PoolDamaged):
        MemoryCatalogue(content).load()


@pytest.mark.parametrize("name", ["position", "pool", "volumes", "frozen_maps", "snapshots", "remembered", "nodes"])
def test_a_head_without_one_of_its_fields_is_damage(name: str) -> None:
    content, _ = saved(4)
    assert content.head is not None
    document = json.loads(unsealed(b"head", content.head))
    del document[name]
    content.head = sealed(b"head", json.dumps(document).encode())
    with pytest.raises(PoolDamaged):
        MemoryCatalogue(content).load()


def test_a_part_of_an_unknown_kind_is_damage() -> None:
    content, checkpoint = saved(4)
    content.parts["group 1"] = sealed(b"group 1", b"{}")
    with pytest.raises(PoolDamaged, match="a part of an unknown kind: 'group 1'"):
        MemoryCatalogue(content).load()
    left = MemoryCatalogue(content).load_remains(lambda *_: checkpoint.volumes[0].root, [])
    assert left is not None
    assert len(left.snapshots) == len(checkpoint.snapshots)


@pytest.mark.parametrize("kind", ["frozen map ", "snapshot "])
def test_a_repair_keeps_the_other_snapshots(kind: str) -> None:
    machine = Machine()
    volume = machine.pool.create_volume("a", 10, {})
    for number in range(3):
        volume.write(0, [block(number)])
        volume.snapshot(f"s{number}")
    machine.environment.run(machine.pool.checkpointer.mark_cleaned())
    machine.close()
    content = machine.disk.catalogue_content
    flip(content, min(key for key in content.parts if key.startswith(kind)))
    plan = repair(machine.disk)
    assert plan is not None
    assert any("1 snapshots of the catalogue are damaged" in each for each in plan.complaints)
    machine.open()
    volume = machine.pool.volumes["a"]
    assert read(machine, volume, 0, 1) == block(2)
    left = {name: read(machine, snapshot, 0, 1) for name, snapshot in volume.snapshots.items()}
    assert len(left) == 2
    assert left.items() <= {(f"s{number}", block(number)) for number in range(3)}


def test_a_repair_keeps_the_other_volumes() -> None:
    machine = Machine()
    for number in range(3):
        machine.pool.create_volume(f"v{number}", 10, {}).write(0, [block(number)])
    machine.environment.run(machine.pool.checkpointer.mark_cleaned())
    machine.close()
    content = machine.disk.catalogue_content
    flip(content, min(key for key in content.parts if key.startswith("volume ")))
    plan = repair(machine.disk)
    assert plan is not None
    assert "1 volumes of the catalogue are damaged or missing" in plan.complaints
    machine.open()
    assert sorted(machine.pool.volumes) == ["v1", "v2"]
    for number in (1, 2):
        assert read(machine, machine.pool.volumes[f"v{number}"], 0, 1) == block(number)
