"""Copies of a pool: arrays of one machine that serve the original and a copy, and a copy whose identity was renewed."""

import secrets
import shutil
from pathlib import Path

from odx_target.initiator import cdb
from odx_target.initiator.copying.token_commands import (
    BlockRange,
    populate_token_list,
    read_rod_token_information,
    write_using_token_list,
)
from odx_target.initiator.session.session import InitiatorSession
from odx_target.store.opening.renewal import renew_identity
from odx_target.target.config.settings import Config
from odx_target.target.duplicates import announced
from tests.interop.serving import serve
from tests.target.running import LUNS, is_good, running, session_with, settled
from tests.target.test_storage_operations import MIB, do, read, row, write

PERSISTENT = 0x0080_0002


def test_an_announcement_is_seen_until_it_ends() -> None:
    identity = secrets.token_bytes(16)
    with announced(identity) as first:
        assert first
        with announced(identity) as second, announced(secrets.token_bytes(16)) as other:
            assert (second, other) == (False, True)
        with announced(identity) as third:
            assert not third
    with announced(identity) as again:
        assert again


def test_a_copy_that_is_served_beside_its_original_is_reported(tmp_path: Path) -> None:
    original = serve(tmp_path / "pool", ("a=1M",), log_path=tmp_path / "log")
    try:
        shutil.copytree(tmp_path / "pool", tmp_path / "copy", ignore=shutil.ignore_patterns("control"))
        words = "serves a copy of this pool"
        for renewed in (False, True):
            if renewed:
                renew_identity(tmp_path / "copy", secrets.token_bytes, keep_volumes=False)
            copy = serve(tmp_path / "copy", (), log_path=tmp_path / f"log {renewed}")
            copy.stop()
            assert (words in (tmp_path / f"log {renewed}").read_text()) == (not renewed)
    finally:
        original.kill()
    assert words not in (tmp_path / "log").read_text()


async def make_token(session: InitiatorSession) -> bytes:
    """Make a persistent token for the first 8 blocks of LUN 0."""
    parameters = populate_token_list([BlockRange(0, 8)], rod_type=PERSISTENT)
    assert is_good(await session.execute(0, cdb.populate_token(1, len(parameters)), parameters))
    answer = await session.execute(0, cdb.receive_rod_token_information(1, 4096), data_in_bytes=4096)
    (token,) = read_rod_token_information(answer.data_in).tokens
    return token


async def asc_of_use(session: InitiatorSession, token: bytes) -> int | None:
    """Use a token. Return the additional sense code of a refusal, or None."""
    parameters = write_using_token_list(token, [BlockRange(16, 8)])
    sense = (await session.execute(0, cdb.write_using_token(2, len(parameters)), parameters)).sense
    return sense[12] if sense else None


async def test_a_renewed_copy_keeps_all_but_its_names_and_tokens(tmp_path: Path) -> None:
    original, copy = Config(pool_dir=tmp_path / "pool", luns=LUNS), Config(pool_dir=tmp_path / "copy")
    async with running(original) as array, session_with(array) as session:
        await settled(session)
        await write(session, 0, b"1")
        token = await make_token(session)
        assert len(array.pool.frozen_maps) == 1
        await do(array, "volume-resize", name="first", size="3M")
        await do(array, "schedule-add", name="daily", fields={"every": "daily"}, volumes=["first"])
        before = row(await do(array, "volumes"), "volumes")
    shutil.copytree(tmp_path / "pool", tmp_path / "copy")
    renew_identity(tmp_path / "copy", secrets.token_bytes, keep_volumes=False)
    async with running(copy) as array, session_with(array) as session:
        await settled(session)
        after = row(await do(array, "volumes"), "volumes")
        assert {**after, "serial": 0, "naa": 0} == {**before, "serial": 0, "naa": 0}
        assert after["size_bytes"] == 3 * MIB
        assert (after["serial"], after["naa"]) != (before["serial"], before["naa"])
        assert array.logical_units[0].serial_number == after["serial"]
        assert (await do(array, "schedule-show", name="daily"))["volume_names"] == ["first"]
        assert await read(session, 0) == b"1" * 4096
        assert await asc_of_use(session, token) == 0x23
        assert not array.pool.frozen_maps, "the data of the token are not kept"
        assert not array.pool.remembered_keys("copymgr/token/")
        own = await make_token(session)
        assert await asc_of_use(session, own) is None
    async with running(original) as array, session_with(array) as session:
        await settled(session)
        assert await asc_of_use(session, token) is None
        assert await asc_of_use(session, own) == 0x23


async def test_a_copy_that_keeps_its_volumes_refuses_the_tokens_too(tmp_path: Path) -> None:
    config = Config(pool_dir=tmp_path / "pool", luns=LUNS)
    async with running(config) as array, session_with(array) as session:
        await settled(session)
        token = await make_token(session)
        before = await do(array, "volumes")
    renew_identity(tmp_path / "pool", secrets.token_bytes, keep_volumes=True)
    async with running(config) as array, session_with(array) as session:
        await settled(session)
        assert await do(array, "volumes") == before
        assert await asc_of_use(session, token) == 0x23
