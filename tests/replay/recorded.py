"""Recorded arrays in this process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from odx_target.configured_pool import memory_parts, open_pool
from odx_target.replay.array_replay import ReplayResult, replay_recording
from odx_target.target.array import Array
from odx_target.target.clock.mode import ClockMode
from odx_target.target.config.settings import Config, LunConfig, Portal
from odx_target.target.inputs.input_clock import InputClock
from odx_target.target.inputs.recorder import opened_recorder
from odx_target.target.session_file.frame_reader import read_recording
from odx_target.target.session_file.recording_limits import DEFAULT_RECORDING_BYTES

CONFIG = Config(
    luns=(LunConfig("a", 1 << 20), LunConfig("b", 1 << 20, 4096)),
    portals=(Portal(port=0),),
    polling=False,
)


@asynccontextmanager
async def recorded_array(
    path: Path,
    config: Config = CONFIG,
    mode: ClockMode = ClockMode.SHIFTED,
    max_bytes: int = DEFAULT_RECORDING_BYTES,
) -> AsyncIterator[Array]:
    """Run an array in memory whose sessions are recorded."""
    clock = InputClock(mode)
    with opened_recorder(path, clock, max_bytes, is_new_pool=True) as edge:
        async with Array(config, open_pool=open_pool, entropy=edge.entropy, clock=clock, edge=edge) as array:
            yield array


async def replayed(path: Path) -> ReplayResult:
    """Replay a recording against a new array in memory."""
    return await replay_recording(read_recording(path), partial(open_pool, memory=memory_parts()))


def assert_equal(result: ReplayResult) -> None:
    """Assert that a replay has given the same answers."""
    assert result.difference is None, "\n".join(result.difference.lines())
