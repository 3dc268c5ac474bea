"""Tests of pairings through control sockets that fail. `tests/cli/test_two_arrays.py` has one that succeeds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import trio

from odx_target.replica.pairing import path_key
from odx_target.target.control.arguments import ManagementError
from odx_target.target.control.client import NoResponse, NoServer
from odx_target.target.control.operations import perform
from odx_target.target.peers import peering as peering_module
from odx_target.target.peers import socket_pairing
from odx_target.target.peers.socket_pairing import pair_with_pool
from tests.target.peers.test_path_operations import KEY, connected, linked, paths

PLACE = Path("other")


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stretch keys only a little, and dial again soon."""
    monkeypatch.setattr(path_key, "SCRYPT_COST", 2)
    monkeypatch.setattr(peering_module, "PAIRING_RETRY_S", 0.01)


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        ({"pool": "own"}, "it is the same array"),
        ({"pool": "00" * 16, "paths": [{"name": "x", "peer_pool": "own"}]}, "only one of the arrays has the path x"),
        ({}, "it gives an unexpected answer (KeyError('pool'))"),
        ({"pool": "zz"}, "it gives an unexpected answer"),
        ({"pool": "00" * 16, "link_port": "no port"}, "it gives an unexpected answer"),
        (ManagementError("it has no link port"), "it has no link port"),
        (NoResponse("it does not answer"), "it does not answer"),
        (NoServer("there is no array"), "there is no array"),
    ],
)
async def test_a_pairing_that_fails_is_one_line(
    answer: dict[str, Any] | Exception, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with linked() as (array, _):
        peering, lines, asked = array.peering, [], []
        assert peering is not None
        own = peering.identity.pool.hex()

        def request(_place: Path, operation: str, _arguments: Mapping[str, object]) -> dict[str, Any]:
            asked.append(operation)
            if isinstance(answer, Exception):
                raise answer
            found = {"paths": [], "waiting": [], "link_port": "127.0.0.1:1", **answer}
            found["paths"] = [{**each, "peer_pool": own} for each in found["paths"]]
            return {name: own if value == "own" else value for name, value in found.items()}

        monkeypatch.setattr(socket_pairing, "request", request)
        monkeypatch.setattr(socket_pairing, "WAIT_S", 0.01)
        monkeypatch.setattr(array.reporter, "report", lambda *words, **values: lines.append((words, values)))
        peering.pairing_places.append(PLACE)
        await pair_with_pool(PLACE, array, peering)
        ((words, values),) = lines
        assert words == ("error", "the array cannot be paired")
        assert line in values["error"]
        assert peering.pairing_places == []
        assert list(peering.paths) == []
        assert set(asked) == {"paths"}, "no path is added at the other array"


async def test_a_path_follows_the_link_port_of_an_array_that_has_restarted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with linked(tmp_path / "one") as (one, _):
        async with linked(tmp_path / "other") as (other, former):
            await perform(one, "add-path", {"name": "b", "key": KEY, "address": former})
            await perform(other, "add-path", {"name": "a", "key": KEY})
            await connected(one, other)
            await perform(one, "protect", {"volumes": ["first"], "path": "b"})
        with trio.fail_after(20):
            while (await paths(one))["paths"][0]["reason"] != f"{former}: connection refused":
                await trio.sleep(0.01)
        (protection,) = (await perform(one, "replication", {}))["protections"]
        assert protection["progress"]["replay_state"] == "waiting"
        assert protection["progress"]["problem"] == f"the path b is not connected: {former}: connection refused"
        async with linked(tmp_path / "other") as (other, present):
            answer = await paths(other)
            monkeypatch.setattr(socket_pairing, "request", lambda *_: answer)
            peering = one.peering
            assert peering is not None
            peering.pairing_places.append(PLACE)
            await pair_with_pool(PLACE, one, peering)
            await connected(one, other)
            assert str(peering.paths["b"].settings.address) == present != former
