"""The management operations about commands, offload and time."""

import json

import pytest

from odx_target.configured_pool import open_pool
from odx_target.initiator import cdb
from odx_target.initiator.session.opening import open_session
from odx_target.target.array import Array
from odx_target.target.clock.array_clock import ArrayClock
from odx_target.target.clock.mode import ClockMode
from odx_target.target.config.settings import Config, Portal
from odx_target.target.control.arguments import ManagementError
from odx_target.target.control.operations import perform
from odx_target.target.recording import operations
from odx_target.target.recording.recorder import CommandRecorder
from tests.target.running import LUNS, OPTIONS, remote_portal, running, settled

CONFIG = Config(luns=LUNS, portals=(Portal(port=0),))


async def test_commands_are_listed_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "COMMANDS_OF_A_PAGE", 2)
    async with (
        Array(CONFIG, open_pool=open_pool, recorder=CommandRecorder()) as array,
        open_session(remote_portal(array), array.config.iqn, OPTIONS) as session,
    ):
        await settled(session)
        for lba in range(3):
            await session.execute(0, cdb.read_16(lba, 1), data_in_bytes=512)
        lbas, after = [], -1
        while after is not None:
            page = await perform(array, "commands", {"after": after})
            json.dumps(page)
            lbas += [command["fields"].get("logical_block_address") for command in page["commands"]]  # type: ignore[attr-defined]
            after = page["next"]
        assert lbas == [None, 0, 1, 2]
        assert await perform(array, "clear-commands", {}) == {"seen": 4}
        assert await perform(array, "commands", {}) == {"commands": [], "next": None}


async def test_without_a_recorder_there_are_only_counters() -> None:
    async with running() as array:
        with pytest.raises(ManagementError, match="start it with --record-commands"):
            await perform(array, "commands", {})
        found = await perform(array, "offload", {})
        assert (found["copied_bytes"], found["refused"], found["fell_back"]) == (0, [], False)


@pytest.mark.parametrize("after", ["0", -2, 1.5, None, True])
async def test_a_wrong_number_is_refused(after: object) -> None:
    async with Array(CONFIG, open_pool=open_pool, recorder=CommandRecorder()) as array:
        with pytest.raises(ManagementError, match="want the number of a command"):
            await perform(array, "commands", {"after": after})


async def test_a_clock_in_real_time_is_shown_but_not_advanced() -> None:
    async with running() as array:
        shown = await perform(array, "clock", {})
        assert (shown["mode"], shown["advanced_s"]) == ("real", 0)
        with pytest.raises(ManagementError, match="start it with --clock shifted or --clock virtual"):
            await perform(array, "advance-clock", {"seconds": 1})


@pytest.mark.parametrize("seconds", [-1, "x", "nan", "inf", 1e12, True, None, [1]])
async def test_wrong_times_are_refused(seconds: object) -> None:
    async with Array(CONFIG, open_pool=open_pool, clock=ArrayClock(ClockMode.VIRTUAL)) as array:
        with pytest.raises(ManagementError, match="seconds: want a number from 0 to 316224000"):
            await perform(array, "advance-clock", {"seconds": seconds})
        assert (await perform(array, "advance-clock", {"seconds": "1.5"}))["advanced_s"] == 1.5
