"""Each row of the sense table and each end of a command is injected once, and seen by libiscsi and by our initiator."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from odx_target.initiator.session.opening import open_session
from odx_target.initiator.url import Portal
from odx_target.target.control.client import request
from tests.interop.faults.seen import EXPECTED, SEEN_BY_LIBISCSI
from tests.interop.libiscsi import Initiator
from tests.interop.programs import need
from tests.interop.serving import IQN, Served, serve
from tests.target.running import OPTIONS

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("interop-seen")]

READ_10 = bytes.fromhex("28 00 00000000 00 0001 00")


@pytest.fixture(scope="module")
def pool(module_path: Path) -> Iterator[tuple[Served, Path]]:
    need("libiscsi")
    served = serve(module_path / "pool", ("first=64M",), log_path=module_path / "serve.log")
    try:
        yield served, module_path / "pool"
    finally:
        served.kill()


def inject(pool: Path, fault: str) -> None:
    request(pool, "fault-clear", {})
    request(pool, "fault-add", {"rule": f"command=read-10 times=1 {fault}"})


def test_libiscsi_sees_each_fault_once(pool: tuple[Served, Path]) -> None:
    served, path = pool
    with Initiator(served.portal, IQN) as session:
        session.ready(0)
        seen = {}
        for fault in EXPECTED:
            inject(path, fault)
            seen[fault] = session.execute(0, READ_10, data_in_bytes=512).outcome
            assert session.execute(0, READ_10, data_in_bytes=512).outcome == "good", fault
    assert seen == SEEN_BY_LIBISCSI


def test_our_initiator_sees_each_fault_once(pool: tuple[Served, Path]) -> None:
    served, path = pool
    host, _, port = served.portal.rpartition(":")

    async def run() -> dict[str, str]:
        seen = {}
        async with open_session(Portal(host, int(port)), IQN, OPTIONS) as session:
            await session.execute(0, bytes(6))
            for fault in EXPECTED:
                inject(path, fault)
                result = await session.execute(0, READ_10, data_in_bytes=512)
                sense = result.sense
                words = f"{sense[2] & 15:X}/{sense[12]:02X}/{sense[13]:02X}" if sense else f"status {result.status:02X}h"
                seen[fault] = "good" if result.status == 0 else words
                assert (await session.execute(0, READ_10, data_in_bytes=512)).status == 0, fault
        return seen

    assert trio.run(run) == EXPECTED
