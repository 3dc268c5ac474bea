"""Announced addresses of portals, and redirections of logins."""

from dataclasses import replace
from pathlib import Path

import pytest

from odx_target.cli.serving.reload import Reloader
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
