"""The repair of a pool in a directory keeps the damaged catalogue, and a crash leaves the old or the new catalogue."""

import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.store.pools import Directory, block, flip_bit, read, write

from odx_target.store.api import BLOCK_BYTES, CatalogueDamaged, DamagedBlock, PoolDamaged, PoolInUse, StoreError
from odx_target.store.catalogue.sqlite import FORMAT
from odx_target.store.open import check_directory_pool
from odx_target.store.opening.directory_pool import CATALOGUE_NAME, HEAD_NAME
from odx_target.store.opening.format_head import decode_head
from odx_target.store.repairing import directory_repair
from odx_target.store.repairing.directory_repair import repairing

WRITTEN = 60


class Killed(Exception):
    """The process ends."""


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    """A closed pool whose volume `a` has written blocks, and a snapshot of it."""
    directory = Directory(tmp_path / "pool")
    volume = directory.pool.create_volume("a", 100, {})
    for at in range(WRITTEN):
        write(directory, volume, at, [block(at + 1)])
        directory.pool.commit()
    volume.snapshot("monday")
    write(directory, volume, 0, [block(1000)])
    directory.pool.commit()
    directory.close()
    return directory


def break_catalogue(directory: Directory) -> None:
    (directory.path / CATALOGUE_NAME).write_bytes(b"dear diary" * 1000)


def repair(directory: Directory) -> Path | None:
    with repairing(directory.path, lambda _count: None) as found:
        return found.carry_out() if found.plan.checkpoint is not None else None


def files(directory: Directory) -> dict[str, bytes]:
    return {str(path.relative_to(directory.path)): path.read_bytes() for path in directory.path.rglob("*") if path.is_file()}


def test_a_sound_pool_is_not_changed(directory: Directory) -> None:
    before = files(directory)
    assert repair(directory) is None
    assert files(directory) == before


def test_a_damaged_catalogue_is_replaced_and_kept(directory: Directory) -> None:
    break_catalogue(directory)
    damaged = (directory.path / CATALOGUE_NAME).read_bytes()
    with pytest.raises(CatalogueDamaged):
        directory.open()
    report = repair(directory)
    assert report is not None
    assert (directory.path / f"{CATALOGUE_NAME}.damaged").read_bytes() == damaged
    assert json.loads(report.read_text())["lost"] == []
    assert repair(directory) is None
    directory.open()
    volume = directory.pool.volumes["a"]
    assert read(directory, volume, 0, WRITTEN) == block(1000) + b"".join(block(at + 1) for at in range(1, WRITTEN))
    directory.close()


def test_lost_blocks_are_listed_with_their_snapshot_and_read_as_lost(directory: Directory) -> None:
    flip_bit(directory.path, block(31))
    flip_bit(directory.path, block(1))
    before = check_directory_pool(directory.path, lambda _count: None)
    report = repair(directory)
    assert report is not None
    lost = json.loads(report.read_text())["lost"]
    expected = [("a", None, 30), (None, "a@monday", 0), (None, "a@monday", 30)]
    assert [(each["volume"], each["snapshot"], each["block"]) for each in lost] == expected
    after = check_directory_pool(directory.path, lambda _count: None)
    assert [(each.volume, each.frozen_map, each.block, each.count_blocks) for each in after.lost] == [
        (each.volume, each.frozen_map, each.block, each.count_blocks) for each in before.lost
    ]
    assert repair(directory) is None
    directory.open()
    volume = directory.pool.volumes["a"]
    with pytest.raises(DamagedBlock):
        read(directory, volume, 30, 1)
    write(directory, volume, 30, [block(7)])
    directory.pool.commit()
    assert read(directory, volume, 30, 1) == block(7)
    directory.close()


def test_each_repair_keeps_its_own_files(directory: Directory) -> None:
    for _ in range(2):
        break_catalogue(directory)
        assert repair(directory) is not None
    names = {path.name for path in directory.path.iterdir()}
    assert {f"{CATALOGUE_NAME}.damaged", f"{CATALOGUE_NAME}-2.damaged", "repair.json", "repair-2.json"} <= names


@pytest.mark.parametrize("call", ["hardlink_to", "rename", "write_text", "sync_directory", "unlink"])
@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("journal", [False, True])
def test_a_crash_leaves_the_old_or_the_new_catalogue(
    directory: Directory, call: str, done: bool, journal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_catalogue(directory)
    if journal:
        (directory.path / f"{CATALOGUE_NAME}-journal").write_bytes(b"a journal")
    owner: object = directory_repair if call == "sync_directory" else Path
    former = getattr(owner, call)

    def dying(*arguments: object) -> None:
        if done:
            former(*arguments)
        raise Killed

    with repairing(directory.path, lambda _count: None) as found:
        monkeypatch.setattr(owner, call, dying)
        with pytest.raises((Killed, StoreError)):
            found.carry_out()
        monkeypatch.undo()
    repair(directory)
    directory.open()
    assert read(directory, directory.pool.volumes["a"], 1, 1) == block(2)
    directory.close()


@pytest.mark.parametrize("version", [FORMAT - 1, FORMAT + 1])
def test_a_catalogue_of_another_format_is_not_replaced(directory: Directory, version: int) -> None:
    connection = sqlite3.connect(directory.path / CATALOGUE_NAME)
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    before = files(directory)
    with pytest.raises(PoolDamaged, match="format"):
        repair(directory)
    assert files(directory) == before


def test_a_pool_that_is_open_is_not_repaired(directory: Directory) -> None:
    directory.open()
    with pytest.raises(PoolInUse):
        repair(directory)
    directory.close()


def test_a_directory_without_a_pool_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no pool"), repairing(tmp_path / "absent", lambda _count: None):
        pass
    assert not (tmp_path / "absent").exists()


def lose_last_segment(directory: Directory) -> None:
    directory.segment_paths()[-1].unlink()


def cut_last_segment(directory: Directory) -> None:
    os.truncate(directory.segment_paths()[-1], BLOCK_BYTES)


def lose_records(directory: Directory) -> None:
    """Damage the header of a batch after the last checkpoint. Later batches prove that its records were in the log."""
    directory.open()
    for at in range(WRITTEN):
        write(directory, directory.pool.volumes["a"], at, [block(2000 + at)])
        directory.pool.commit()
        directory.environment.run(directory.pool.flush())
    directory.kill()
    flip_bit(directory.path, block(2020), -BLOCK_BYTES)


def is_cleaned(directory: Directory) -> bool:
    return decode_head((directory.path / HEAD_NAME).read_bytes(), "the head").cleaned


LOSSES = [lose_last_segment, cut_last_segment, lose_records]


@pytest.mark.parametrize("lose", LOSSES)
def test_a_log_that_has_lost_a_part_never_replaces_the_catalogue(
    directory: Directory, lose: Callable[[Directory], None]
) -> None:
    lose(directory)
    assert repair(directory) is not None
    assert is_cleaned(directory)
    break_catalogue(directory)
    with pytest.raises(CatalogueDamaged, match="`odx-target pool repair "):
        directory.open()
    (directory.path / CATALOGUE_NAME).unlink()
    with pytest.raises(PoolDamaged, match="the log cannot replace it"):
        directory.open()


def test_a_repair_that_loses_no_part_of_the_log_does_not_mark_the_head(directory: Directory) -> None:
    flip_bit(directory.path, block(31))
    assert repair(directory) is not None
    break_catalogue(directory)
    assert repair(directory) is not None
    assert not is_cleaned(directory)


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("target", [HEAD_NAME, CATALOGUE_NAME])
def test_no_crash_of_a_repair_prevents_the_mark(
    directory: Directory, target: str, done: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_last_segment(directory)
    rename = Path.rename

    def dying(path: Path, to: Path) -> None:
        if to.name != target or done:
            rename(path, to)
        if to.name == target:
            raise Killed

    with repairing(directory.path, lambda _count: None) as found:
        monkeypatch.setattr(Path, "rename", dying)
        with pytest.raises(Killed):
            found.carry_out()
        monkeypatch.undo()
    repair(directory)
    assert repair(directory) is None
    assert is_cleaned(directory)
