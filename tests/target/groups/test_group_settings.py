"""Tests of the tables [[group]] of a configuration file."""

from typing import Any

import pytest

from odx_target.replica.sync.limits import MAX_GROUP_VOLUMES, MAX_GROUPS, MAX_OUT_OF_SYNC_S, MIN_OUT_OF_SYNC_S
from odx_target.target.config.error import ConfigError
from odx_target.target.config.group_settings import group_templates_of
from odx_target.target.config.parsing import MAX_LUNS
from odx_target.target.config.settings import GroupTemplate

ROW: dict[str, Any] = {"name": "db", "volumes": ["db1", "db2"], "path": "berlin", "witness": "hamburg"}


def test_a_group_with_and_without_choices() -> None:
    (plain,) = group_templates_of([ROW])
    assert plain == GroupTemplate("db", ("db1", "db2"), "berlin", "hamburg", {}, 20.0)
    (chosen,) = group_templates_of([{**ROW, "luns": {"db2": 9}, "out-of-sync-after": 30}])
    assert (chosen.luns, chosen.out_of_sync_s) == ({"db2": 9}, 30.0)


@pytest.mark.parametrize(
    "changes",
    [
        {"out-of-sync-after": MIN_OUT_OF_SYNC_S},
        {"out-of-sync-after": MAX_OUT_OF_SYNC_S},
        {"volumes": [f"v{number}" for number in range(MAX_GROUP_VOLUMES)]},
        {"luns": {"db1": 0, "db2": MAX_LUNS - 1}},
    ],
)
def test_a_group_at_a_limit(changes: dict[str, Any]) -> None:
    assert len(group_templates_of([{**ROW, **changes}])) == 1


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, "want tables"),
        ([1], "want tables"),
        ([{**ROW, "color": 1}], "unknown key 'color'"),
        ([{**ROW, "name": "a b"}], "name: want a name"),
        ([{key: ROW[key] for key in ROW if key != "path"}], "path: want a name"),
        ([{**ROW, "witness": 7}], "witness: want a name"),
        ([{**ROW, "volumes": []}], "want a list of 1 to 256 names"),
        ([{**ROW, "volumes": ["a", 1]}], "want a list of 1 to 256 names"),
        ([{**ROW, "volumes": ["v"] * (MAX_GROUP_VOLUMES + 1)}], "want a list of 1 to 256 names"),
        ([{**ROW, "luns": {"other": 1}}], "luns: want a LUN number"),
        ([{**ROW, "luns": {"db1": MAX_LUNS}}], "luns: want a LUN number"),
        ([{**ROW, "luns": {"db1": True}}], "luns: want a LUN number"),
        ([{**ROW, "out-of-sync-after": MIN_OUT_OF_SYNC_S - 1}], "group db: out-of-sync-after: want 6 to 600 seconds"),
        ([{**ROW, "out-of-sync-after": MAX_OUT_OF_SYNC_S + 1}], "want 6 to 600 seconds"),
        ([{**ROW, "out-of-sync-after": True}], "want 6 to 600 seconds"),
        ([{**ROW, "out-of-sync-after": float("nan")}], "want 6 to 600 seconds"),
        ([ROW, ROW], "the group db is named twice"),
        ([ROW, {**ROW, "name": "other"}], "the volume db1 is named twice"),
        ([{**ROW, "name": f"g{number}", "volumes": [f"v{number}"]} for number in range(MAX_GROUPS + 1)], "over the limit of 8"),
    ],
)
def test_wrong_groups_are_refused_with_one_line(value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        group_templates_of(value)
    assert "\n" not in str(refused.value)
