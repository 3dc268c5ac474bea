"""Settings with a few choices, and limits of the tiers: accepted values, and the messages for all other values."""

from collections.abc import Callable
from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odx_target.target.config.error import ConfigError
from odx_target.target.config.parsing import (
    MIN_POOL_LIMIT_BYTES,
    parse_capacity_compression,
    parse_capacity_limit,
    parse_choice,
    parse_pool_limit,
)
from odx_target.target.control.storage.table import STORAGE_OPERATIONS
from odx_target.target.schedules.fields import parse_every, parse_on_failure

SET = {argument.name: argument.parse for argument in STORAGE_OPERATIONS["volume-set"].arguments}


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@given(st.sampled_from([*Colour, "red", "blue", "Red", "", None, 1, True, ["red"], b"red"]) | st.text())
def test_a_choice_is_one_of_the_choices(value: object) -> None:
    if isinstance(value, str) and value in ("red", "blue"):
        assert parse_choice(Colour, value) is Colour(value)
    else:
        with pytest.raises(ConfigError, match=r"^colour: want one of red, blue, not "):
            parse_choice(Colour, value, "colour: ")


@pytest.mark.parametrize(
    ("parse", "value", "message"),
    [
        (parse_every, "monthly", "want one of hourly, daily, weekly, not 'monthly'"),
        (parse_on_failure, 1, "want one of crash-consistent, skip, not '1'"),
        (parse_capacity_compression, "best", "capacity-compression: want one of off, lz4, zstd, not 'best'"),
        (SET["compression"], "x" * 50, f"compression: want one of off, lz4, zstd, not '{'x' * 40}'"),
        (SET["tier"], ["fast"], "tier: want one of fast, capacity, not \"['fast']\""),
        (parse_pool_limit, "1M", "pool limit '1M': the limit of a pool is at least 2M"),
        (parse_capacity_limit, 1, "capacity limit 1: the limit of a capacity tier is at least 2M"),
        (parse_pool_limit, None, 'pool-limit: want a number of bytes or a text such as "1G", not None'),
        (parse_capacity_limit, None, 'capacity-limit: want a number of bytes or a text such as "1G", not None'),
    ],
)
def test_the_message_names_the_setting(parse: Callable[[object], object], value: object, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(value)
    assert str(caught.value) == message


@pytest.mark.parametrize("parse", [parse_pool_limit, parse_capacity_limit])
def test_the_smallest_limit_is_accepted(parse: Callable[[object], int]) -> None:
    assert parse(MIN_POOL_LIMIT_BYTES) == MIN_POOL_LIMIT_BYTES
    with pytest.raises(ConfigError):
        parse(MIN_POOL_LIMIT_BYTES - 1)
