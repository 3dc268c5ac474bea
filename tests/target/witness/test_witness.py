"""Tests of a witness without LUNs, in this process."""

from pathlib import Path

import pytest
import trio

from odx_target.cli.failure import first_error
from odx_target.configured_pool import open_pool
from odx_target.replica.membership.register import Register
from odx_target.replica.membership.witness import WitnessRecord
from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings import Config, LunConfig, Portal
from odx_target.target.control.arguments import ManagementError
from odx_target.target.witness.operations import OPERATIONS, perform
from odx_target.target.witness.witness import MAX_WITNESS_BYTES, serving_witness
from tests.target.running import running

ANY = Portal("127.0.0.1", 0)
MEMBERS = "aa" * 16, "bb" * 16


async def test_a_witness_keeps_its_paths_and_records(tmp_path: Path) -> None:
    async with serving_witness(tmp_path / "w", ANY, open_pool) as witness:
        assert (await perform(witness, "groups", {})) == {"groups": [], "witnessed": [], "unreadable": []}
        identity = (await perform(witness, "paths", {}))["pool"]
        register = Register(4, MEMBERS[0], frozenset(MEMBERS))
        witness.peering.groups.witness_desk.add("g", MEMBERS, WitnessRecord(7, register))
        await witness.make_durable()
    async with serving_witness(tmp_path / "w", ANY, open_pool) as witness:
        assert (await perform(witness, "paths", {}))["pool"] == identity
        (row,) = (await perform(witness, "groups", {}))["witnessed"]  # type: ignore[misc]
        assert row == {"name": "g", "members": list(MEMBERS), "primary": MEMBERS[0], "is_in_sync": True, "epoch": 4}
        assert witness.pool.status().limit_bytes == MAX_WITNESS_BYTES
        with pytest.raises(ManagementError, match="--force deletes the record"):
            await perform(witness, "group-delete", {"name": "g"})
        assert await perform(witness, "group-delete", {"name": "g", "force": True}) == {"name": "g", "left": []}
        assert (await perform(witness, "groups", {}))["witnessed"] == []


async def test_a_witness_has_no_operations_on_volumes(tmp_path: Path) -> None:
    async with serving_witness(tmp_path / "w", ANY, open_pool) as witness:
        with pytest.raises(ManagementError, match="a witness has no operation 'volumes'; it has paths, add-path"):
            await perform(witness, "volumes", {})
    assert not any("lun" in name or "volume" in name for name in OPERATIONS)


async def test_the_pool_of_an_array_is_no_witness(tmp_path: Path) -> None:
    async with running(Config(pool_dir=tmp_path / "pool", luns=(LunConfig("own", 1 << 20),))):
        pass
    with pytest.raises(ExceptionGroup) as group:
        async with serving_witness(tmp_path / "pool", ANY, open_pool):
            pytest.fail("the witness serves")
    error = first_error(group.value)
    assert isinstance(error, ConfigError)
    assert "pool is the pool of an array: `odx-target serve` makes this array a witness too" in str(error)


async def test_a_link_port_that_is_taken_is_one_error(tmp_path: Path) -> None:
    async with serving_witness(tmp_path / "w", ANY, open_pool) as witness:
        with pytest.raises(OSError, match=str(witness.address.port)):
            async with serving_witness(tmp_path / "other", witness.address, open_pool):
                pytest.fail("both witnesses serve")
    await trio.lowlevel.checkpoint()
    assert not (tmp_path / "other").exists()
