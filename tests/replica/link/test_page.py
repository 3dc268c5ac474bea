"""Tests that docs/link.md is up to date."""

import re

from odx_target.replica.blocks import limits as blocks_limits
from odx_target.replica.blocks.formats import BlockState
from odx_target.replica.link import limits
from odx_target.replica.link.channels import TrafficClass
from odx_target.replica.link.hello import Farewell
from odx_target.replica.remote_tokens import limits as token_limits
from odx_target.replica.snapshots import limits as snapshots_limits
from tests.replica.link.page import CLASSES, FAREWELLS, PATH, STATES, TABLES, page

TEXT = PATH.read_text()


def test_the_page_has_the_present_tables() -> None:
    assert page(TEXT) == TEXT
    assert all(f"<!-- made from the code: {name} -->" in TEXT for name in TABLES)


def test_the_page_names_only_limits_that_exist() -> None:
    named = set(re.findall(r"`((?:MAX|MIN)_\w+|\w+_S|\w+_BYTES)`", TEXT))
    assert named <= {*vars(limits), *vars(blocks_limits), *vars(token_limits), *vars(snapshots_limits)}


def test_every_code_and_class_is_on_the_page() -> None:
    assert (set(FAREWELLS), set(CLASSES), set(STATES)) == (set(Farewell), set(TrafficClass), set(BlockState))
