"""Announced addresses of portals, and redirections of logins."""

from dataclasses import replace
from pathlib import Path

import pytest

from odx_target.cli.serving.reload import Reloader
from odx_target.target import own_addresses
from odx_target.target.access.addresses import Addresses
from odx_target.target.access.targets import authentications_of
from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings import Config, Portal, RedirectRule, TargetConfig
from odx_target.target.config.settings_file import load_config
from tests.target.access.sessions import A, B, discovered, luns, session_of
from tests.target.running import LUNS, running

HERE, OTHER = Portal(port=0), Portal("localhost", 0)
OUTSIDE = Portal("192.0.2.1", 3270)
SECOND = "iqn.2026-11.example:second"
# `running` gives the first target the portal `HERE`. The second target is at both portals.
CONFIG = Config(luns=LUNS, portals=(HERE,), targets=(TargetConfig(SECOND, (HERE, OTHER)),))


async def test_send_targets_reports_the_announced_address() -> None:
    async with running(replace(CONFIG, announced=((HERE, OUTSIDE),))) as array:
        found = await discovered(array, A)
        other = array.portals[1]
        assert found == {array.config.iqn: ["192.0.2.1:3270,1"], SECOND: ["192.0.2.1:3270,1", f"{other},1"]}


async def test_a_login_is_redirected_to_another_portal() -> None:
    async with running(replace(CONFIG, redirects=(RedirectRule(OTHER, SECOND, HERE),))) as array:
        for target in (array.config.iqn, SECOND):
            async with session_of(array, A, target) as session:
                assert await luns(session) == [0, 1]
        ports = {each.session.target_name: each.peer for each in array.sessions()}
        assert ports == {}, "all have logged out"
        async with session_of(array, A, SECOND):
            (connection,) = array._listener._connections
            assert connection._socket.getsockname()[1] == array.portals[1].port


@pytest.mark.parametrize("permanent", [False, True])
async def test_a_rule_for_some_initiators(permanent: bool) -> None:
    unreachable = Portal("127.0.0.1", 1)
    rules = (RedirectRule(unreachable, initiator=f"{A[:-1]}[a]", permanent=permanent),)
    async with running(replace(CONFIG, redirects=rules)) as array:
        async with session_of(array, B) as session:
            assert await luns(session) == [0, 1], "the rule is not for this initiator"
        with pytest.raises(Exception, match=r"127\.0\.0\.1:1"):
            async with session_of(array, A):
                pass


async def test_a_reload_applies_both(tmp_path: Path) -> None:
    path = tmp_path / "array.toml"
    text = '[announce]\n"127.0.0.1:0" = "192.0.2.1:3270"\n[[redirect]]\nto = "127.0.0.1:1"\ninitiator = "*:a"\n'
    path.write_text('portal = "127.0.0.1:0"\n' + text)
    async with running(Config(luns=LUNS, portals=(HERE,))) as array:
        await Reloader(array, path).reload()
        assert await discovered(array, A) == {array.config.iqn: ["192.0.2.1:3270,1"]}
        with pytest.raises(Exception, match=r"127\.0\.0\.1:1"):
            async with session_of(array, A):
                pass
        path.write_text('portal = "127.0.0.1:0"\n')
        await Reloader(array, path).reload()
        async with session_of(array, A) as session:
            assert await luns(session) == [0, 1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("announce = 1", "want a table"),
        ('[announce]\n"127.0.0.1:3260" = 1', "want a table"),
        ('[announce]\n"127.0.0.1:3260:1" = "192.0.2.1"', "HOST:PORT"),
        ("redirect = 1", "tables"),
        ("[[redirect]]", "to is missing"),
        ("[[redirect]]\nto = 1", "text in quotes"),
        ('[[redirect]]\nto = "192.0.2.1"\npermanent = 1', "true or false"),
        ('[[redirect]]\nto = "192.0.2.1"\ninitiator = "host"', "no iSCSI name"),
        ('[[redirect]]\nto = "192.0.2.1"\nfrom = "x"', "unknown key"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "array.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        load_config(path)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (Config(announced=((OUTSIDE, OUTSIDE),)), "no portal of the array"),
        (Config(redirects=(RedirectRule(OUTSIDE, portal=OUTSIDE),)), "no portal of the array"),
        (Config(announced=((Portal(), Portal("192.0.2.1", 0)),)), "no initiator can connect to 192.0.2.1:0"),
        (Config(announced=((Portal(), Portal("0.0.0.0")),)), "no initiator can connect"),
        (Config(redirects=(RedirectRule(Portal("::")),)), "no initiator can connect"),
        (Config(redirects=(RedirectRule(Portal("192.0.2.1", 0)),)), "no initiator can connect"),
        (Config(redirects=(RedirectRule(Portal()),)), "again"),
        (Config(redirects=(RedirectRule(Portal(), portal=Portal()),)), "again"),
    ],
)
def test_addresses_that_lead_nowhere_are_refused(config: Config, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        authentications_of(config, bytes)


ONE, TWO, THREE = (Portal(port=port) for port in (3260, 3261, 3262))
THIRD = TargetConfig("iqn.2026-11.example:third", (ONE, TWO))


def redirecting(*rules: RedirectRule, **fields: object) -> Config:
    return Config(portals=(ONE, TWO, THREE), redirects=rules, **fields)  # type: ignore[arg-type]


CIRCLES = {
    "two portals": redirecting(RedirectRule(TWO, portal=ONE), RedirectRule(ONE, portal=TWO)),
    "three portals": redirecting(
        RedirectRule(TWO, portal=ONE), RedirectRule(THREE, portal=TWO), RedirectRule(ONE, portal=THREE)
    ),
    "for one target": redirecting(
        RedirectRule(TWO, portal=ONE, target=THIRD.iqn), RedirectRule(ONE, portal=TWO), targets=(THIRD,)
    ),
    "a target and an initiator": redirecting(
        RedirectRule(TWO, portal=ONE, target=THIRD.iqn), RedirectRule(ONE, portal=TWO, initiator=A), targets=(THIRD,)
    ),
    "patterns": redirecting(
        RedirectRule(TWO, portal=ONE, initiator="iqn.2026-1[!a-c]?.example:*"),
        RedirectRule(ONE, portal=TWO, initiator="iqn.*"),
    ),
    "an announced address": redirecting(
        RedirectRule(TWO, portal=ONE), RedirectRule(OUTSIDE, portal=TWO), announced=((ONE, OUTSIDE),)
    ),
    "its own announced address": redirecting(RedirectRule(OUTSIDE, portal=ONE), announced=((ONE, OUTSIDE),)),
}


@pytest.mark.parametrize("name", CIRCLES)
def test_a_circle_of_redirections_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"redirect: logins to .* for ever"):
        authentications_of(CIRCLES[name], bytes)


STRAIGHT = {
    "a chain": redirecting(RedirectRule(TWO, portal=ONE), RedirectRule(THREE, portal=TWO)),
    "a chain out": redirecting(RedirectRule(TWO, portal=ONE), RedirectRule(OUTSIDE, portal=TWO)),
    "different initiators": redirecting(
        RedirectRule(TWO, portal=ONE, initiator=A), RedirectRule(ONE, portal=TWO, initiator="iqn.2026-11.example:b")
    ),
    "different targets": redirecting(
        RedirectRule(TWO, portal=ONE, target=THIRD.iqn),
        RedirectRule(ONE, portal=TWO, target=Config().iqn),
        targets=(THIRD,),
    ),
    "an earlier rule leads out": redirecting(
        RedirectRule(OUTSIDE, portal=TWO), RedirectRule(TWO, portal=ONE), RedirectRule(ONE, portal=TWO)
    ),
    "the target is not at the portal": redirecting(
        RedirectRule(THREE, portal=ONE, target=THIRD.iqn), RedirectRule(ONE, portal=THREE, target=THIRD.iqn), targets=(THIRD,)
    ),
}


@pytest.mark.parametrize("name", STRAIGHT)
def test_other_chains_of_redirections_are_accepted(name: str) -> None:
    authentications_of(STRAIGHT[name], bytes)


EVERYWHERE, ALSO_EVERYWHERE, DUAL = Portal("0.0.0.0"), Portal("0.0.0.0", 3261), Portal("::", 3262)
OWN, OWN_TOO, SIX = "192.0.2.5", "192.0.2.6", "2001:db8::5"


def wide(*rules: RedirectRule, **fields: object) -> Config:
    return Config(portals=(EVERYWHERE, ALSO_EVERYWHERE, DUAL), redirects=rules, **fields)  # type: ignore[arg-type]


def at(host: str, portal: Portal) -> Portal:
    return replace(portal, host=host)


WIDE_CIRCLES = {
    "two addresses": wide(
        RedirectRule(at(OWN, ALSO_EVERYWHERE), portal=EVERYWHERE), RedirectRule(at(OWN, EVERYWHERE), portal=ALSO_EVERYWHERE)
    ),
    "the address of another interface": wide(
        RedirectRule(at(OWN, ALSO_EVERYWHERE), portal=EVERYWHERE),
        RedirectRule(at(OWN_TOO, EVERYWHERE), portal=ALSO_EVERYWHERE),
    ),
    "an address and a portal": wide(
        RedirectRule(ALSO_EVERYWHERE, portal=EVERYWHERE), RedirectRule(at(OWN, EVERYWHERE), portal=ALSO_EVERYWHERE)
    ),
    "two addresses of one portal": wide(
        RedirectRule(at(OWN, EVERYWHERE), portal=EVERYWHERE), RedirectRule(at(OWN_TOO, EVERYWHERE), portal=EVERYWHERE)
    ),
    "IPv4 to a portal for both": wide(
        RedirectRule(at(OWN, DUAL), portal=EVERYWHERE), RedirectRule(at(OWN, EVERYWHERE), portal=DUAL)
    ),
    "only portals": wide(RedirectRule(ALSO_EVERYWHERE, portal=EVERYWHERE), RedirectRule(EVERYWHERE, portal=ALSO_EVERYWHERE)),
}


def is_own_host(host: str) -> bool:
    return host in (OWN, OWN_TOO, SIX)


@pytest.mark.parametrize("name", WIDE_CIRCLES)
def test_a_circle_over_portals_at_all_addresses_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"redirect: logins to .* for ever"):
        authentications_of(WIDE_CIRCLES[name], bytes, is_own_host)


WIDE_STRAIGHT = {
    "to one address": wide(RedirectRule(at(OWN, EVERYWHERE))),
    "to one address of several portals": wide(
        RedirectRule(at(OWN, EVERYWHERE)), RedirectRule(at(OWN, EVERYWHERE), portal=ALSO_EVERYWHERE)
    ),
    "another machine": wide(
        RedirectRule(at("192.0.2.7", ALSO_EVERYWHERE), portal=EVERYWHERE),
        RedirectRule(at("192.0.2.7", EVERYWHERE), portal=ALSO_EVERYWHERE),
    ),
    "another port": wide(
        RedirectRule(Portal(OWN, 3270), portal=EVERYWHERE), RedirectRule(at(OWN, EVERYWHERE), portal=ALSO_EVERYWHERE)
    ),
    "IPv6 to a portal for IPv4": wide(
        RedirectRule(at(SIX, ALSO_EVERYWHERE), portal=EVERYWHERE), RedirectRule(at(OWN, EVERYWHERE), portal=ALSO_EVERYWHERE)
    ),
    "an earlier rule leads out": wide(
        RedirectRule(OUTSIDE, portal=ALSO_EVERYWHERE),
        RedirectRule(at(OWN, ALSO_EVERYWHERE), portal=EVERYWHERE),
        RedirectRule(at(OWN, EVERYWHERE), portal=ALSO_EVERYWHERE),
    ),
}


@pytest.mark.parametrize("name", WIDE_STRAIGHT)
def test_other_chains_over_portals_at_all_addresses_are_accepted(name: str) -> None:
    authentications_of(WIDE_STRAIGHT[name], bytes, is_own_host)


@pytest.mark.parametrize(
    ("host", "is_own"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("192.0.2.1", False), ("2001:db8::1", False), ("localhost", False), ("", False)],
)
def test_the_addresses_of_this_machine(host: str, is_own: bool) -> None:
    assert own_addresses.is_own_host(host) is is_own


def test_many_rules_are_checked_soon() -> None:
    rules = [RedirectRule(TWO, portal=ONE, initiator=f"iqn.2026-11.example:{number}*") for number in range(1023)]
    authentications_of(redirecting(*rules, RedirectRule(THREE, portal=TWO)), bytes)
    with pytest.raises(ConfigError, match="for ever"):
        authentications_of(redirecting(*rules, RedirectRule(ONE, portal=TWO)), bytes)


def test_a_redirection_may_lead_to_another_portal_of_the_array() -> None:
    two = (Portal(), OTHER)
    authentications_of(Config(portals=two, redirects=(RedirectRule(OTHER, portal=Portal()),)), bytes)


ANYWHERE, SECOND_ANYWHERE = Portal("0.0.0.0"), Portal("0.0.0.0", 3261)
ACTUAL = {ANYWHERE: ANYWHERE, SECOND_ANYWHERE: SECOND_ANYWHERE, HERE: Portal(port=40000)}


@pytest.mark.parametrize(
    ("rule", "announced", "arrived_at", "address"),
    [
        (RedirectRule(SECOND_ANYWHERE), (), Portal("192.0.2.5"), "192.0.2.5:3261"),
        (RedirectRule(SECOND_ANYWHERE), ((SECOND_ANYWHERE, OUTSIDE),), Portal("192.0.2.5"), "192.0.2.1:3270"),
        (RedirectRule(SECOND_ANYWHERE), (), Portal("2001:db8::5"), None),
        (RedirectRule(Portal("192.0.2.5"), portal=ANYWHERE), (), Portal("192.0.2.5"), None),
        (RedirectRule(Portal("192.0.2.5"), portal=ANYWHERE), (), Portal("192.0.2.6"), "192.0.2.5:3260"),
        (RedirectRule(HERE), (), Portal("192.0.2.5"), "127.0.0.1:40000"),
        (RedirectRule(OUTSIDE), (), Portal("192.0.2.5"), "192.0.2.1:3270"),
    ],
)
def test_a_redirection_leads_to_an_address_that_the_initiator_can_reach(
    rule: RedirectRule, announced: tuple[tuple[Portal, Portal], ...], arrived_at: Portal, address: str | None
) -> None:
    """A login that is already where a rule leads to continues, because the initiator would come back for ever."""
    addresses = Addresses()
    addresses.set(Config(announced=announced, redirects=(rule,)), ACTUAL)
    found = addresses.redirection(A, SECOND, ANYWHERE, arrived_at)
    assert (None if found is None else found.address) == address
