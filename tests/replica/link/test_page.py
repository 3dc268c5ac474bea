"""Tests that docs/link.md is up to date."""

import re
import struct

from crc32c import crc32c

from odx_target.replica.blocks import limits as blocks_limits
from odx_target.replica.blocks.formats import BlockState
from odx_target.replica.link import limits
from odx_target.replica.link.channels import TrafficClass
from odx_target.replica.link.hello import Farewell
from odx_target.replica.remote_tokens import limits as token_limits
from odx_target.replica.snapshots import limits as snapshots_limits
from tests.replica.link.page import CLASSES, EXAMPLES, FAREWELLS, PATH, STATES, TABLES, page

TEXT = PATH.read_text()


def test_the_page_has_the_present_tables() -> None:
    assert page(TEXT) == TEXT
    assert all(f"<!-- made from the code: {name} -->" in TEXT for name in TABLES)


def test_the_examples_are_the_frames_that_the_page_describes() -> None:
    """The bytes are read here by hand, from the tables of the page."""
    content = {
        name: bytes.fromhex(
            "".join(re.findall(r"    ([0-9a-f ]+)\n", TEXT.split(f"code: {name} -->")[1].split("\n\n")[1] + "\n"))
        )
        for name in EXAMPLES
    }
    for name, data in content.items():
        kind, flags, channel, size, argument, body_checksum, header_checksum = struct.unpack_from("<BBHIQII", data)
        body = data[24:]
        assert (channel, size, crc32c(data[:20])) == (2, len(body), header_checksum)
        assert body_checksum == (crc32c(body) if body else 0)
        assert (kind, argument) == (EXAMPLES[name].kind, EXAMPLES[name].argument)
        assert bool(flags & 4) is (name == "offerexample")
    offer, want, data = (content[name][24:] for name in ("offerexample", "wantexample", "dataexample"))
    assert struct.unpack_from("<H", offer) == struct.unpack_from("<H", want) == (3,)
    assert [offer[2] & 15, offer[2] >> 4, offer[3]] == [0, 1, 2]
    assert offer[4:] == bytes(range(16)) + struct.pack("<I", 0x11223344)
    assert want[2:] == bytes([0b010])
    assert struct.unpack_from("<HHIHI", data) == (2, 1, 0x11223344, 2, 0x55667788)
    assert data[14:] == b"two blocks"


def test_the_page_names_only_limits_that_exist() -> None:
    named = set(re.findall(r"`((?:MAX|MIN)_\w+|\w+_S|\w+_BYTES)`", TEXT))
    assert named <= {*vars(limits), *vars(blocks_limits), *vars(token_limits), *vars(snapshots_limits)}


def test_every_code_and_class_is_on_the_page() -> None:
    assert (set(FAREWELLS), set(CLASSES), set(STATES)) == (set(Farewell), set(TrafficClass), set(BlockState))
