"""Imports from Debian's tgt by a server process. Both are killed in the middle, and all data is compared at the end."""

import json
import os
import signal
from pathlib import Path

import pytest
from bench.tgt import tgt_process

from odx_target.target.control.client import request
from tests.interop.blocks import read_blocks, write_blocks
from tests.interop.imports import imported, typed, until
from tests.interop.libiscsi import Initiator
from tests.interop.programs import need
from tests.interop.serving import IQN, Served, serve

SIZE = (4 << 20) + 512
"""Size of the old LUN: it ends inside a store block."""

SECTORS = SIZE // 512


def old_content() -> bytearray:
    """Bytes that differ in each sector, with zeros in the middle."""
    content = bytearray(b"".join((number + 1).to_bytes(8, "big") * 64 for number in range(SECTORS)))
    content[1 << 20 : 3 << 19] = bytes(1 << 19)
    return content


def login(served: Served) -> Initiator:
    session = Initiator(served.portal, IQN, name="iqn.2026-11.example:one")
    session.ready(1)
    return session


@pytest.fixture
def pool(module_path: Path) -> Path:
    need("tgtd")
    return module_path / "pool"


def test_a_lun_of_tgt_is_imported_although_both_arrays_are_killed(pool: Path, tmp_path: Path) -> None:
    expected = old_content()
    disk = tmp_path / "disk"
    disk.write_bytes(expected)
    served = serve(pool, ("first=1M",), log_path=tmp_path / "log")
    try:
        with tgt_process(disk, SIZE) as (url, old_process):
            port = int(url.removeprefix("iscsi://127.0.0.1:").partition("/")[0])
            printed = typed("start", pool, url, "moved", "--rate", "1M", "--verify")
            assert printed == f"LUN 1: moved, {SIZE} bytes; the copy of {url} has begun\n"
            with login(served) as host:
                assert read_blocks(host, 1, SECTORS - 3, 3) == bytes(expected[-1536:])
                write_blocks(host, 1, 5_001, b"w" * 1024)
                expected[5_001 * 512 : 5_003 * 512] = b"w" * 1024
                assert read_blocks(host, 1, 5_000, 4) == bytes(expected[5_000 * 512 : 5_004 * 512])
                os.kill(old_process, signal.SIGKILL)
                until(pool, lambda row: row["state"] == "waiting")
                assert imported(pool)["missing_bytes"] > 1 << 20
                assert read_blocks(host, 1, 5_000, 4) == bytes(expected[5_000 * 512 : 5_004 * 512])
                write_blocks(host, 1, 6_000, b"v" * 4096)
                expected[6_000 * 512 : 6_008 * 512] = b"v" * 4096
        served.kill()
        served = serve(pool, log_path=tmp_path / "log", portal=served.portal)
        until(pool, lambda row: row["state"] == "waiting" and row["reason"].count("127.0.0.1") == 1)
        with tgt_process(disk, SIZE, port=port):
            assert "moved" in typed("list", pool)
            typed("rate", pool, "moved", "4M")
            until(pool, lambda row: row["state"] == "copying" and row["missing_bytes"] < 2 << 20)
            served.kill()
            served = serve(pool, log_path=tmp_path / "log", portal=served.portal)
            typed("rate", pool, "moved", "1G")
            until(pool, lambda row: row["state"] == "finished")
        assert "100%" in typed("list", pool)
        assert json.loads(typed("list", pool, "--json"))["imports"][0]["different"]["bytes"] == 0
        assert [row["name"] for row in request(pool, "volumes", {})["volumes"]] == ["first", "moved"]
        disk.unlink()
        with login(served) as host:
            assert read_blocks(host, 1, 0, SECTORS) == bytes(expected)
        served.kill()
        served = serve(pool, log_path=tmp_path / "log", portal=served.portal)
        with login(served) as host:
            assert read_blocks(host, 1, 0, SECTORS) == bytes(expected)
    finally:
        served.kill()
