"""EXTENDED COPY between two real arrays by libiscsi: the bytes of the parameter lists are made here, as a host makes them."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from odx_target.target.control.client import request
from tests.interop.blocks import read_blocks, write_blocks
from tests.interop.libiscsi import Initiator
from tests.interop.links import LINK, wait_for_link
from tests.interop.programs import need
from tests.interop.serving import IQN, serve

need("libiscsi")

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("interop-remote-extended-copy")]

BLOCK_BYTES = 512
COUNT = 8192
THIS_UNIT = 0xFFFF
NOT_REACHABLE = "A/0D/02"


class Pair(NamedTuple):
    """Sessions with two paired arrays, and the pools of these."""

    one: Initiator
    other: Initiator
    pools: tuple[Path, Path]


@pytest.fixture(scope="module")
def pair(module_path: Path) -> Iterator[Pair]:
    pools = module_path / "one", module_path / "other"
    one = serve(pools[0], ["src=16M"], log_path=module_path / "one.log", options=LINK)
    try:
        options = (*LINK, "--pair", str(pools[0]))
        other = serve(pools[1], ["dst=16M"], log_path=module_path / "other.log", options=options)
        try:
            wait_for_link(pools[1])
            with Initiator(one.portal, IQN) as ours, Initiator(other.portal, IQN) as theirs:
                ours.ready(0)
                theirs.ready(0)
                yield Pair(ours, theirs, pools)
        finally:
            other.kill()
    finally:
        one.kill()


def naa_of(session: Initiator) -> bytes:
    """Return the NAA designator in VPD page 83h of LUN 0."""
    page = session.execute(0, bytes([0x12, 1, 0x83, 1, 0, 0]), data_in_bytes=256).data_in
    at = 4
    while at < 4 + int.from_bytes(page[2:4], "big"):
        if page[at + 1] & 0x3F == 3:  # of the logical unit, NAA
            return page[at + 4 : at + 4 + page[at + 3]]
        at += 4 + page[at + 3]
    raise AssertionError("no NAA designator")


def extended_copy(naa: bytes, source: tuple[int, int], destination: tuple[int, int], count: int) -> tuple[bytes, bytes]:
    """Return the CDB and the parameter list of EXTENDED COPY(LID1) with one CSCD and one segment of type 02h (SPC-4 6.4).

    `source` and `destination` are a CSCD descriptor ID and an LBA.
    """
    cscd = bytes([0xE4, 0, 0, 0, 1, 3, 0, len(naa)]) + naa.ljust(20, b"\0") + bytes(1) + BLOCK_BYTES.to_bytes(3, "big")
    segment = (
        bytes([0x02, 0, 0, 0x18])
        + source[0].to_bytes(2, "big")
        + destination[0].to_bytes(2, "big")
        + bytes(2)
        + count.to_bytes(2, "big")
        + source[1].to_bytes(8, "big")
        + destination[1].to_bytes(8, "big")
    )
    header = bytes([1, 0]) + len(cscd).to_bytes(2, "big") + bytes(4) + len(segment).to_bytes(4, "big") + bytes(4)
    parameters = header + cscd + segment
    return bytes([0x83, 0]) + bytes(8) + len(parameters).to_bytes(4, "big") + bytes(2), parameters


def content(seed: int) -> bytes:
    """Return data for `COUNT` blocks that differ from each other."""
    return b"".join((seed << 32 | number).to_bytes(8, "big") * (BLOCK_BYTES // 8) for number in range(COUNT))


def link_bytes(pool: Path) -> int:
    (row,) = request(pool, "paths", {})["paths"]
    return int(row["sent_bytes"] + row["received_bytes"])


def test_the_destination_copies_from_the_other_array(pair: Pair) -> None:
    data, before = content(1), link_bytes(pair.pools[1])
    write_blocks(pair.one, 0, 16, data)
    assert pair.other.execute(0, *extended_copy(naa_of(pair.one), (0, 16), (THIS_UNIT, 8), COUNT)).outcome == "good"
    assert read_blocks(pair.other, 0, 8, COUNT) == data
    assert link_bytes(pair.pools[1]) > before
    again = link_bytes(pair.pools[1])
    assert pair.other.execute(0, *extended_copy(naa_of(pair.one), (0, 16), (THIS_UNIT, 4096), COUNT)).outcome == "good"
    assert read_blocks(pair.other, 0, 4096, COUNT) == data
    assert link_bytes(pair.pools[1]) - again < len(data) // 50, "the array has the data already"


def test_the_source_lets_the_other_array_copy(pair: Pair) -> None:
    data = content(2)
    write_blocks(pair.one, 0, 0, data)
    assert pair.one.execute(0, *extended_copy(naa_of(pair.other), (THIS_UNIT, 0), (0, 3), COUNT)).outcome == "good"
    assert read_blocks(pair.other, 0, 3, COUNT) == data
    again = link_bytes(pair.pools[1])
    assert pair.one.execute(0, *extended_copy(naa_of(pair.other), (THIS_UNIT, 0), (0, 8000), COUNT)).outcome == "good"
    assert read_blocks(pair.other, 0, 8000, COUNT) == data
    assert link_bytes(pair.pools[1]) - again < len(data) // 50, "the array has the data already"


def test_without_its_right_an_array_writes_to_no_other_array(pair: Pair) -> None:
    before = read_blocks(pair.other, 0, 0, 64)
    (path,) = request(pair.pools[1], "paths", {})["paths"]
    kept = [right for right in path["rights"] if right != "write-luns"]
    request(pair.pools[1], "set-path-rights", {"name": path["name"], "rights": kept})
    try:
        result = pair.one.execute(0, *extended_copy(naa_of(pair.other), (THIS_UNIT, 0), (0, 0), 64))
    finally:
        request(pair.pools[1], "set-path-rights", {"name": path["name"], "rights": path["rights"]})
    assert result.outcome == NOT_REACHABLE
    assert read_blocks(pair.other, 0, 0, 64) == before
    refusal = request(pair.pools[0], "refusals", {"after": 0})["refusals"][-1]
    assert refusal["rule"] == "no array has a logical unit with this name for the initiator"


def test_a_name_that_no_array_has(pair: Pair) -> None:
    nobody = bytes([0x60]) + bytes(15)
    assert pair.other.execute(0, *extended_copy(nobody, (0, 0), (THIS_UNIT, 0), 64)).outcome == NOT_REACHABLE
