"""Tests of the operations on paths, between two whole arrays in this process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from odx_target.replica.pairing import path_key
from odx_target.replica.paths.settings import Address
from odx_target.target.array import Array
from odx_target.target.config.settings import Config, Portal
from odx_target.target.control.arguments import ManagementError
from odx_target.target.control.operations import perform
from odx_target.target.peers import peering as peering_module
from odx_target.target.peers.own_certificate import KEY as CERTIFICATE_KEY
from odx_target.target.peers.serving import serve_peers
from tests.target.running import LUNS, running

KEY = "K" * 26


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stretch keys only a little, and dial again soon."""
    monkeypatch.setattr(path_key, "SCRYPT_COST", 2)
    monkeypatch.setattr(peering_module, "PAIRING_RETRY_S", 0.01)


@asynccontextmanager
async def linked(pool: Path | None = None) -> AsyncIterator[tuple[Array, str]]:
    """An array with a link port, and the address of the port."""
    config = Config(luns=LUNS, pool_dir=pool)
    async with running(config) as array, serve_peers(Portal("127.0.0.1", 0), array) as address:
        yield array, str(address)


async def paths(array: Array) -> dict[str, Any]:
    return await perform(array, "paths", {})


async def connected(*arrays: Array) -> None:
    with trio.fail_after(20):
        for array in arrays:
            while [row["state"] for row in (await paths(array))["paths"]] != ["connected"]:
                await trio.sleep(0.01)


async def test_two_arrays_are_connected_and_separated_while_they_run() -> None:
    async with linked() as (one, _), linked() as (other, address):
        waiting = await perform(one, "add-path", {"name": "b", "key": KEY, "address": address, "off_peak": "20M"})
        assert (waiting["name"], waiting["attempts"], waiting["address"]) == ("b", 0, address)
        assert KEY not in repr(waiting)
        assert [row["name"] for row in (await paths(one))["waiting"]] == ["b"]
        values = {"name": "a", "key": KEY, "rights": ["replicate"], "peak": "1M", "peak_hours": "08:00-18:30"}
        await perform(other, "add-path", values)
        await connected(one, other)
        (ours,), (theirs,) = (await paths(one))["paths"], (await paths(other))["paths"]
        assert (ours["throttle_bytes_per_s"], ours["address"], ours["rights"][0]) == (20 << 20, address, "redeem-tokens")
        assert (theirs["peak_bytes_per_s"], theirs["peak_hours"], theirs["rights"]) == (1 << 20, "08:00-18:30", ["replicate"])
        assert theirs["address"] is None
        assert ours["sent_bytes"] > 0 < ours["received_bytes"]
        assert one.peering is not None
        assert other.peering is not None
        assert one.peering.paths.to_maker(other.copy_manager.copies.issuer.maker) is one.peering.paths["b"]
        assert await perform(one, "remove-path", {"name": "b"}) == {"name": "b"}
        assert (await paths(one))["paths"] == []
        with pytest.raises(ManagementError, match="no path b"):
            await perform(one, "remove-path", {"name": "b"})


async def test_paths_connect_again_after_a_restart(tmp_path: Path) -> None:
    async with linked(tmp_path / "one") as (one, ours):
        async with linked(tmp_path / "other") as (other, theirs):
            for array, name, address in ((one, "b", theirs), (other, "a", ours)):
                await perform(array, "add-path", {"name": name, "key": KEY, "address": address})
            await connected(one, other)
            certificate = other.pool.remembered(CERTIFICATE_KEY)
        async with linked(tmp_path / "other") as (other, _):
            assert other.pool.remembered(CERTIFICATE_KEY) == certificate
            await connected(one, other)


async def test_a_throttle_and_the_rights_change_at_once_and_survive_a_restart(tmp_path: Path) -> None:
    async with linked(tmp_path / "one") as (one, _), linked() as (other, address):
        for array, name, peer in ((one, "b", address), (other, "a", None)):
            await perform(array, "add-path", {"name": name, "key": KEY, **({"address": peer} if peer else {})})
        await connected(one, other)
        assert one.peering is not None
        link = one.peering.paths["b"].link
        values = {"off_peak": "200M", "peak": "20M", "peak_hours": "08:00-18:00"}
        changed = await perform(one, "throttle-path", {"name": "b", **values})
        assert (changed["throttle_bytes_per_s"], changed["peak_bytes_per_s"]) == (200 << 20, 20 << 20)
        changed = await perform(one, "set-path-rights", {"name": "b", "rights": ["replicate"]})
        assert changed["rights"] == ["replicate"]
        assert one.peering.paths["b"].link is link
        for name in ("throttle-path", "set-path-rights", "rekey-path"):
            given = {"rights": []} if name == "set-path-rights" else {"key": KEY} if name == "rekey-path" else {}
            with pytest.raises(ManagementError, match="no path c"):
                await perform(one, name, {"name": "c", **given})
        with pytest.raises(ManagementError, match="a throttle is"):
            await perform(one, "throttle-path", {"name": "b", "off_peak": "1K"})
    async with linked(tmp_path / "one") as (one, _):
        (row,) = (await paths(one))["paths"]
        assert (row["peak_bytes_per_s"], row["peak_hours"], row["rights"]) == (20 << 20, "08:00-18:00", ["replicate"])
        assert (await perform(one, "throttle-path", {"name": "b"}))["throttle_bytes_per_s"] is None
        assert (await perform(one, "set-path-rights", {"name": "b", "rights": []}))["rights"] == []


@pytest.mark.parametrize("both_dial", [False, True])
async def test_a_path_gets_a_new_key_while_it_is_used(both_dial: bool) -> None:
    async with linked() as (one, ours), linked() as (other, theirs):
        for array, name, peer in ((one, "b", theirs), (other, "a", ours if both_dial else None)):
            await perform(array, "add-path", {"name": name, "key": KEY, **({"address": peer} if peer else {})})
        await connected(one, other)
        assert one.peering is not None
        assert other.peering is not None
        sides = one.peering.paths["b"], other.peering.paths["a"]
        before = [side.settings for side in sides]
        await perform(one, "rekey-path", {"name": "b", "key": "N" * 26})
        assert [row["name"] for row in (await paths(one))["waiting"]] == ["b"]
        await perform(other, "rekey-path", {"name": "a", "key": "N" * 26})
        with trio.fail_after(20):
            while any(side.settings.secret == former.secret for side, former in zip(sides, before, strict=True)):
                await trio.sleep(0.01)
        await connected(one, other)
        assert sides[0].settings.secret == sides[1].settings.secret
        assert [replace(side.settings, secret=former.secret) for side, former in zip(sides, before, strict=True)] == before
        with trio.fail_after(20):
            while (await paths(one))["waiting"] or (await paths(other))["waiting"]:
                await trio.sleep(0.01)


async def test_the_new_key_of_a_path_cannot_lead_it_to_another_array() -> None:
    async with linked() as (one, ours), linked() as (other, theirs), linked() as (third, _):
        await perform(one, "add-path", {"name": "b", "key": KEY, "address": theirs})
        await perform(other, "add-path", {"name": "a", "key": KEY})
        await connected(one, other)
        await perform(one, "rekey-path", {"name": "b", "key": "N" * 26})
        await perform(third, "add-path", {"name": "a", "key": "N" * 26, "address": ours})
        with trio.fail_after(20):
            while "another array" not in (await paths(third))["waiting"][0]["reason"]:
                await trio.sleep(0.01)
        assert one.peering is not None
        assert one.peering.paths["b"].settings.peer_pool == other.pool.identity
        assert (await paths(third))["paths"] == []


async def test_an_array_cannot_have_a_path_to_itself() -> None:
    async with linked() as (array, address):
        await perform(array, "add-path", {"name": "self", "key": KEY, "address": address})
        with trio.fail_after(20):
            while "itself" not in (await paths(array))["waiting"][0]["reason"]:
                await trio.sleep(0.01)
        assert (await paths(array))["waiting"][0]["attempts"] == 0
        await perform(array, "remove-path", {"name": "self"})
        assert (await paths(array))["waiting"] == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": ""}, "name: want"),
        ({"name": "a b"}, "name: want"),
        ({"name": "x" * 65}, "name: want"),
        ({"name": 1}, "name: want"),
        ({"key": "short"}, "want a path key of 12"),
        ({"key": 5}, "want a text"),
        ({"address": "host"}, "address: want HOST:PORT"),
        ({"address": "host:0"}, "port 0"),
        ({"address": "host:99999"}, "want a port"),
        ({"address": 5}, "address: want"),
        ({"rights": ["fly"]}, "rights: want a list of serve-tokens, redeem-tokens, serve-luns, write-luns, replicate"),
        ({"rights": "replicate"}, "rights: want"),
        ({"off_peak": "1K"}, "a throttle is"),
        ({"peak": 1 << 50}, "a throttle is"),
        ({"peak": "1M"}, "need each other"),
        ({"peak_hours": "08:00-18:00", "off_peak": "1M"}, "need each other"),
        ({"peak_hours": "8-18"}, "peak_hours: want"),
        ({"peak_hours": "08:00-24:00"}, "peak_hours: want two"),
        ({"peak_hours": "08:00-08:00"}, "peak_hours: want two"),
    ],
)
async def test_arguments_that_are_refused(changes: dict[str, Any], message: str) -> None:
    async with linked() as (array, _):
        with pytest.raises(ManagementError, match=message):
            await perform(array, "add-path", {"name": "b", "key": KEY, **changes})
        assert (await paths(array))["waiting"] == []


async def test_an_array_without_a_link_port_has_no_paths() -> None:
    async with running() as array:
        named = {"name": "b"}
        others = (("throttle-path", named), ("set-path-rights", {**named, "rights": []}), ("remove-path", named))
        for name, given in (("paths", {}), ("add-path", {**named, "key": KEY}), *others):
            with pytest.raises(ManagementError, match="--link-port"):
                await perform(array, name, given)


def test_addresses_are_shown_as_they_are_typed() -> None:
    assert [str(Address(host, 5)) for host in ("host", "::1")] == ["host:5", "[::1]:5"]
