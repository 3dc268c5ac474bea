"""Tests that the error about a damaged catalogue names a command, after which everything is restored from the log."""

import re
import shlex
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.sim.virtual_environment import VirtualEnvironment

from odx_target.store.api import CatalogueDamaged
from odx_target.store.open import open_directory_pool
from odx_target.store.opening.directory_pool import CATALOGUE_NAME

BLOCK = b"a" * 4096


def statement(text: str) -> Callable[[Path], None]:
    def execute(path: Path) -> None:
        connection = sqlite3.connect(path)
        connection.execute(text)
        connection.commit()
        connection.close()

    return execute


def overwrite(start: int, data: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[start : start + len(data)] = data
        path.write_bytes(content)

    return write


DAMAGES: dict[str, Callable[[Path], object]] = {
    "another file": lambda path: path.write_bytes(b"dear diary" * 1000),
    "another database": lambda path: (path.unlink(), statement("CREATE TABLE a (b)")(path)),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:20_000]),
    "header": overwrite(20, b"\xff" * 8),
    "page": overwrite(16_384, bytes(16_384)),
    "no head": statement("DELETE FROM head"),
    "wrong head": statement("UPDATE head SET body = x'0011'"),
    "no nodes": statement("DELETE FROM node"),
    "another pool": statement("UPDATE head SET body = (SELECT body FROM value LIMIT 1)"),
}


@pytest.fixture
def environment() -> VirtualEnvironment:
    return VirtualEnvironment()


@pytest.fixture
def folder(tmp_path: Path, environment: VirtualEnvironment) -> Iterator[Path]:
    """A pool with a volume, a block and a value, in a folder whose name contains a blank."""
    folder = tmp_path / "my pool"

    async def make() -> None:
        pool = await open_directory_pool(folder, environment)
        volume = pool.create_volume("first", 64, {"lun": "0"})
        volume.write(3, [BLOCK])
        pool.remember("key", b"value")
        pool.commit()
        await pool.close()

    environment.run(make())
    yield folder
    shutil.rmtree(tmp_path)


async def seen(folder: Path, environment: VirtualEnvironment) -> tuple[list[str], bytes, bytes | None]:
    pool = await open_directory_pool(folder, environment)
    try:
        data = await pool.volumes["first"].read(3, 1)
        return list(pool.volumes), bytes(b"".join(data)), pool.remembered("key")
    finally:
        await pool.close()


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_the_error_says_brings_everything_back(folder: Path, environment: VirtualEnvironment, damage: str) -> None:
    DAMAGES[damage](folder / CATALOGUE_NAME)
    with pytest.raises(CatalogueDamaged) as refused:
        environment.run(seen(folder, environment))
    assert "\n" not in str(refused.value)
    (command,) = re.findall(r"`(.*)`", str(refused.value))
    subprocess.run(shlex.split(command), check=True)
    assert (folder / f"{CATALOGUE_NAME}.damaged").is_file()
    for _ in range(2):
        assert environment.run(seen(folder, environment)) == (["first"], BLOCK, b"value")


def test_a_catalogue_that_is_gone_is_rebuilt_without_a_word(folder: Path, environment: VirtualEnvironment) -> None:
    (folder / CATALOGUE_NAME).unlink()
    assert environment.run(seen(folder, environment)) == (["first"], BLOCK, b"value")
