"""Whole logins by CHAP: our initiator, written independently from the same RFC, with an array."""

from dataclasses import replace

import pytest

from odx_target.cli.serving.serve import open_pool
from odx_target.initiator.errors import LoginFailed
from odx_target.initiator.session.discovered import DiscoveredTarget
from odx_target.initiator.session.opening import discover
from odx_target.initiator.session.options import SessionOptions
from odx_target.target.array import Array
from odx_target.target.config.chap import ChapUser, TargetChap
from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings import Config
from tests.target.running import LUNS, OPTIONS, remote_portal, running, session_with

ONE = replace(OPTIONS, user="one", secret="secret-of-one")
BOUND = replace(OPTIONS, user="bound", secret="secret-of-bound")
BOTH_WAYS = replace(
    ONE, target_user="array", target_secret="secret-of-array", entropy=lambda size_bytes: b"as random as any".ljust(size_bytes)
)
CONFIG = Config(
    luns=LUNS,
    chap_users=(ChapUser("one", b"secret-of-one"), ChapUser("bound", b"secret-of-bound", "iqn.2026-11.example:bound")),
    target_chap=TargetChap("array", b"secret-of-array"),
)

GOT_IN = "got in"


async def outcome(array: Array, options: SessionOptions) -> str:
    """Return the result of a login: GOT_IN, or the reason of the failure."""
    try:
        async with session_with(array, options) as session:
            assert (await session.execute(0, bytes(6))).sense
            return GOT_IN
    except LoginFailed as refused:
        return str(refused)


LOGINS = [
    # the options of the initiator, and the result
    (OPTIONS, "(02h/01h)"),
    (ONE, GOT_IN),
    (BOTH_WAYS, GOT_IN),
    (replace(ONE, secret="secret-of-two"), "(02h/01h)"),
    (replace(ONE, secret="secret-of-array"), "(02h/01h)"),
    (replace(ONE, user="two"), "(02h/01h)"),
    (replace(ONE, user="array", secret="secret-of-array"), "(02h/01h)"),
    (replace(BOTH_WAYS, target_secret="secret-of-another"), "the target proved itself wrongly"),
    (replace(BOTH_WAYS, target_user="another"), "the target proved itself wrongly"),
    (BOUND, "(02h/02h)"),
    (replace(BOUND, initiator_name="iqn.2026-11.example:bound"), GOT_IN),
]


async def test_who_proves_what_gets_in() -> None:
    async with running(CONFIG) as array:
        for options, end in LOGINS:
            assert end in await outcome(array, options), options


async def test_a_target_without_credentials_is_not_believed() -> None:
    async with running(replace(CONFIG, target_chap=None)) as array:
        assert await outcome(array, ONE) == GOT_IN
        assert "(02h/01h)" in await outcome(array, BOTH_WAYS)


async def test_hosts_with_a_secret_get_into_an_array_that_asks_for_none() -> None:
    async with running() as array:
        assert await outcome(array, ONE) == GOT_IN
        assert "(02h/01h)" in await outcome(array, BOTH_WAYS)


async def test_discovery_is_authenticated_as_other_sessions_are() -> None:
    async with running(CONFIG) as array:
        place = remote_portal(array)
        assert [found.name for found in await discover(place, BOTH_WAYS)] == [array.config.iqn]
        for options in (OPTIONS, replace(ONE, secret="secret-of-two")):
            with pytest.raises(LoginFailed, match="02h/01h"):
                await discover(place, options)


async def test_discovery_may_be_open_to_all_while_the_target_is_not() -> None:
    async with running(replace(CONFIG, chap_discovery=False)) as array:
        found = await discover(remote_portal(array), OPTIONS)
        assert found == [DiscoveredTarget(array.config.iqn, (f"{array.portals[0]},1",))]
        assert "(02h/01h)" in await outcome(array, OPTIONS)


def test_settings_that_contradict_each_other_make_no_array() -> None:
    with pytest.raises(ConfigError, match="at least one chap user"):
        Array(replace(CONFIG, chap_users=()), open_pool=open_pool)
