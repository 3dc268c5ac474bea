"""The tables of docs/synchronous-replication.md are those of the code."""

from odx_target.replica.sync.group_states import GroupState
from odx_target.target.control.groups.conditions import STATE_MEANINGS
from tests.target.groups.page import PATH, page


def test_the_page_has_the_tables_of_the_code() -> None:
    text = PATH.read_text(encoding="utf-8")
    assert page(text) == text, "python -m tests.target.groups.page makes the tables again"


def test_every_state_has_a_meaning() -> None:
    assert set(STATE_MEANINGS) == set(GroupState)
