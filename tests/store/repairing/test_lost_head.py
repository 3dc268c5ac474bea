"""The repair of a pool whose head, the file `pool.json`, is lost or damaged."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.sim.virtual_environment import VirtualEnvironment
from tests.store.pools import Directory, block, read, write
from tests.store.repairing.test_directory_repair import WRITTEN, break_catalogue, directory, files

from odx_target.store.api import PoolDamaged, StoreError
from odx_target.store.catalogue.sqlite import SqliteCatalogue
from odx_target.store.errors import HeadDamaged
from odx_target.store.open import PoolOptions, check_directory_pool, open_directory_pool
from odx_target.store.opening.directory_pool import CATALOGUE_NAME, HEAD_NAME
from odx_target.store.opening.format_head import decode_head, head_of_checkpoint
from odx_target.store.opening.renewal import renew_identity
from odx_target.store.repairing.directory_repair import repairing
from odx_target.store.repairing.lost_head import IDENTITIES_LOST

__all__ = ["directory"]

DAMAGE: dict[str, Callable[[Path], object]] = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:40]),
    "not JSON": lambda path: path.write_bytes(b"\x00" * 300),
    "another kind": lambda path: path.write_text('{"what": "a diary", "format": 2}'),
    "short identity": lambda path: path.write_text(path.read_text().replace('"identity": "', '"identity": "00')),
}


def repair(directory: Directory) -> list[str]:
    with repairing(directory.path, lambda _count: None) as found:
        if found.is_needed:
            found.carry_out()
        return found.plan.complaints


def head_of(directory: Directory) -> object:
    return decode_head((directory.path / HEAD_NAME).read_bytes(), "")._replace(epoch=0, cleaned=True)


def check_content(directory: Directory) -> None:
    directory.open()
    pool = directory.pool
    content = b"".join(block(at + 1) for at in range(1, WRITTEN))
    assert read(directory, pool.volumes["a"], 0, WRITTEN) == block(1000) + content
    assert read(directory, pool.volumes["a"].snapshots["monday"], 0, WRITTEN) == block(1) + content
    write(directory, pool.volumes["a"], 99, [block(7)])
    directory.close()
    directory.open()
    assert read(directory, directory.pool.volumes["a"], 99, 1) == block(7), "changes after the repair are part of the log"
    directory.close()
    assert not check_directory_pool(directory.path, lambda _count: None).lost


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_lost_head_is_made_again_from_the_catalogue(directory: Directory, kind: str) -> None:
    path = directory.path / HEAD_NAME
    before = head_of(directory)
    DAMAGE[kind](path)
    damaged = path.read_bytes() if path.exists() else None
    with pytest.raises(HeadDamaged, match=r"`odx-target pool repair .*` makes it again"):
        directory.open()
    with pytest.raises(PoolDamaged):
        check_directory_pool(directory.path, lambda _count: None)
    (complaint,) = repair(directory)
    assert complaint.startswith(str(path))
    assert head_of(directory) == before
    kept = directory.path / f"{HEAD_NAME}.damaged"
    assert (kept.read_bytes() if kept.exists() else None) == damaged
    assert repair(directory) == []
    check_content(directory)


def test_a_plan_changes_nothing(directory: Directory) -> None:
    (directory.path / HEAD_NAME).unlink()
    before = files(directory)
    with repairing(directory.path, lambda _count: None) as found:
        assert found.is_needed
    assert files(directory) == before


def test_a_head_and_a_catalogue_that_are_both_lost_are_made_again_from_the_log(directory: Directory) -> None:
    before = head_of(directory)
    (directory.path / HEAD_NAME).unlink()
    break_catalogue(directory)
    assert IDENTITIES_LOST in repair(directory)
    assert head_of(directory) == before
    check_content(directory)


def test_renewed_identities_and_the_capacity_tier_come_from_the_last_checkpoint(tmp_path: Path) -> None:
    tier = tmp_path / "tier"
    directory = Directory(tmp_path / "pool", PoolOptions(segment_blocks=32, cleaning=False, capacity_directory=tier))
    directory.pool.create_volume("a", 100, {})
    directory.close()
    renew_identity(directory.path, lambda size_bytes: b"\x05" * size_bytes, keep_volumes=False)
    directory.open()
    directory.close()
    before = head_of(directory)
    (directory.path / HEAD_NAME).unlink()
    assert len(repair(directory)) == 1
    assert head_of(directory) == before
    directory.options = PoolOptions(segment_blocks=32, cleaning=False)
    directory.open()
    assert directory.pool.identity == b"\x05" * 16
    directory.close()


def test_a_checkpoint_of_an_older_program_has_only_the_identity() -> None:
    head, is_complete = head_of_checkpoint({"identity": "05" * 16, "next_volume": 3})
    assert (head.identity, head.array_identity, head.names_identity, is_complete) == (b"\x05" * 16,) * 3 + (False,)
    for fields in ({}, {"identity": "zz"}, {"identity": 5}, {"identity": "00"}):
        with pytest.raises(PoolDamaged):
            head_of_checkpoint(fields)


def test_the_head_of_another_format_is_not_replaced(directory: Directory) -> None:
    (directory.path / HEAD_NAME).write_text(json.dumps({"what": "odx-target pool", "format": 4, "names": {}}))
    before = files(directory)
    with pytest.raises(PoolDamaged):
        repair(directory)
    assert files(directory) == before
    with pytest.raises(PoolDamaged) as error:
        directory.open()
    assert "repair" not in str(error.value)


@pytest.mark.parametrize("loses_catalogue", [False, True])
def test_segments_of_several_pools_are_refused(directory: Directory, tmp_path: Path, loses_catalogue: bool) -> None:
    environment = VirtualEnvironment(seed=9)
    other = environment.run(open_directory_pool(tmp_path / "other", environment))
    other.create_volume("b", 100, {})
    environment.run(other.close())
    (tmp_path / "other" / "segments" / "0000000001.segment").rename(directory.path / "segments" / "0000000001.segment")
    (directory.path / HEAD_NAME).unlink()
    if loses_catalogue:
        (directory.path / CATALOGUE_NAME).unlink()
    with pytest.raises(PoolDamaged, match="several pools"):
        repair(directory)


def test_the_catalogue_of_another_pool_is_refused(directory: Directory, tmp_path: Path) -> None:
    environment = VirtualEnvironment(seed=9)
    environment.run(environment.run(open_directory_pool(tmp_path / "other", environment)).close())
    (tmp_path / "other" / CATALOGUE_NAME).replace(directory.path / CATALOGUE_NAME)
    (directory.path / HEAD_NAME).unlink()
    with pytest.raises(PoolDamaged, match="different pools"):
        repair(directory)


def test_a_directory_without_a_pool_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no pool"), repairing(tmp_path, lambda _count: None):
        pass
    (tmp_path / "segments").mkdir()
    with pytest.raises(PoolDamaged, match="neither the catalogue nor the log"), repairing(tmp_path, lambda _count: None):
        pass


def test_each_checkpoint_repeats_the_fields_of_the_head(directory: Directory) -> None:
    catalogue = SqliteCatalogue(directory.path / CATALOGUE_NAME)
    pool = catalogue.stored_pool()
    catalogue.close()
    assert pool is not None
    head, is_complete = head_of_checkpoint(pool)
    assert is_complete
    assert head._replace(epoch=0, cleaned=True) == head_of(directory)
