"""Recordings of arrays with CHAP: the secrets are not in the file, and a replay gets them again."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from odx_target.configured_pool import memory_parts, open_pool
from odx_target.initiator import cdb
from odx_target.initiator.session.opening import open_session
from odx_target.replay.array_replay import ReplayFailed, ReplayResult, replay_recording
from odx_target.target.config.chap import chap_user, target_chap
from odx_target.target.config.settings import Config, TargetConfig
from odx_target.target.session_file.frame_reader import read_recording
from tests.replay.recorded import CONFIG, assert_equal, recorded_array
from tests.target.running import OPTIONS, is_good, remote_portal, settled

SECRET, TARGET_SECRET = "the secret of the host", "the secret of the array"
WITH_CHAP = replace(
    CONFIG,
    chap_users=(chap_user("host", SECRET.encode()),),
    target_chap=target_chap("array", TARGET_SECRET.encode()),
)
SECOND = "iqn.2026-11.test:second"
OF_A_TARGET = replace(
    CONFIG,
    targets=(TargetConfig(SECOND, chap_users=WITH_CHAP.chap_users, target_chap=WITH_CHAP.target_chap),),
)
LOGIN = replace(
    OPTIONS,
    user="host",
    secret=SECRET,
    target_user="array",
    target_secret=TARGET_SECRET,
    entropy=lambda size: bytes(range(size)),
)


async def record(path: Path, config: Config) -> None:
    name = config.targets[0].iqn if config.targets else config.iqn
    async with recorded_array(path, config) as array, open_session(remote_portal(array), name, LOGIN) as session:
        await settled(session)
        assert is_good(await session.execute(0, cdb.write_16(0, 8), b"data" * 1024))


async def replay(path: Path, secrets: Config | None) -> ReplayResult:
    return await replay_recording(read_recording(path), partial(open_pool, memory=memory_parts()), secrets=secrets)


@pytest.mark.parametrize("config", [WITH_CHAP, OF_A_TARGET])
async def test_a_replay_with_the_secrets_gives_the_same_answers(tmp_path: Path, config: Config) -> None:
    path = tmp_path / "recording"
    await record(path, config)
    assert SECRET.encode() not in path.read_bytes()
    assert TARGET_SECRET.encode() not in path.read_bytes()
    assert_equal(await replay(path, config))


async def test_a_replay_without_the_secrets_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "recording"
    await record(path, WITH_CHAP)
    with pytest.raises(ReplayFailed, match="--config"):
        await replay(path, None)


async def test_another_secret_is_a_difference_of_the_login(tmp_path: Path) -> None:
    path = tmp_path / "recording"
    await record(path, WITH_CHAP)
    other = replace(WITH_CHAP, chap_users=(chap_user("host", b"another secret of the host"),))
    result = await replay(path, other)
    assert result.difference is not None
    assert "Login" in "\n".join(result.difference.lines())
