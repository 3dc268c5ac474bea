"""The catalogue of the evil target: its rules are valid, and our initiator neither crashes nor hangs."""

import math
from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock

from odx_target.initiator import cdb
from odx_target.initiator.errors import InitiatorError
from odx_target.target.array import Array
from odx_target.target.config.error import ConfigError
from odx_target.target.faults.evil import EVIL, expanded
from odx_target.target.faults.rules import check_rule
from tests.target.running import OPTIONS, running, session_with, settled

IDLE_S = 0.02
"""Real time without events after which the clock jumps to the next timer. Both ends are in this process, so the kernel delivers
their data sooner. A jump that is too early only ends a session.
"""
TIMEOUT_S = 2.0
"""Timeout of each request of the initiator, in virtual seconds. The array has a timer each second, and each costs a jump."""
MAX_WAIT_S = 120
"""Virtual seconds after which an initiator hangs. All its timeouts together are shorter."""
HASTY = replace(OPTIONS, command_timeout_s=TIMEOUT_S, login_timeout_s=TIMEOUT_S, logout_timeout_s=TIMEOUT_S)


@pytest.mark.parametrize("name", EVIL)
def test_a_row_is_a_rule(name: str) -> None:
    check_rule({"evil": name, "times": 3})


def test_a_wrong_name_gets_one_line() -> None:
    with pytest.raises(ConfigError, match="did you mean residual-lie"):
        expanded({"evil": "residual-ly"})


@pytest.mark.parametrize("name", EVIL)
async def test_our_initiator_neither_crashes_nor_hangs(mock_clock: MockClock, name: str) -> None:
    async with running() as array:
        mock_clock.autojump_threshold = IDLE_S
        rule = array.faults.add({"evil": name})
        with trio.fail_after(MAX_WAIT_S):
            await _use(array)
        if rule.values.get("pdu") is None or not {0x24} >= set(rule.values["pdu"]):
            assert rule.hits, "the initiator has met the answer"
        array.faults.clear()
        mock_clock.autojump_threshold = math.inf
        async with session_with(array) as session:
            await settled(session)
            assert (await session.execute(0, cdb.read_16(0, 8), data_in_bytes=4096)).status == 0


async def _use(array: Array) -> None:
    """Log in, read and write, and expect nothing but the errors of an initiator."""
    commands = ((bytes(6), b"", 0), (cdb.read_16(0, 8), b"", 4096), (cdb.write_16(0, 2048), bytes(2048 * 512), 0))
    for command, data_out, size_bytes in commands:
        try:
            async with session_with(array, HASTY) as session:
                await session.execute(0, bytes(6))
                await session.execute(0, command, data_out, data_in_bytes=size_bytes)
        except InitiatorError:
            continue
