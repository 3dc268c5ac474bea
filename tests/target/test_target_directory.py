"""The addresses that SendTargets reports, for each address of the listener and of the host's connection."""

import pytest
import trio

from odx_target.cli.serving.serve import open_pool
from odx_target.initiator.session.opening import discover
from odx_target.initiator.url import Portal as RemotePortal
from odx_target.iscsi.login.chap import Accounts
from odx_target.target.access.addresses import plain_host
from odx_target.target.access.lun_maps import LunMaps
from odx_target.target.access.targets import Authentication, Target
from odx_target.target.array import Array
from odx_target.target.config.settings import Config, Portal
from odx_target.target.server.target_directory import TargetDirectory
from tests.target.running import LUNS, OPTIONS

NAME = "iqn.2026-11.io.odx-target:array"


class Arrived:
    """A connected socket with a given local address."""

    def __init__(self, *name: object) -> None:
        self._name = name

    def getsockname(self) -> tuple[object, ...]:
        return self._name


ADDRESSES = [
    # address of the listener, address of the connection, reported address
    ("::", ("::ffff:192.0.2.1", 3260, 0, 0), "192.0.2.1:3260"),
    ("::", ("::FFFF:c000:201", 3260, 0, 0), "192.0.2.1:3260"),
    ("::", ("2001:db8::1", 3260, 0, 0), "[2001:db8::1]:3260"),
    ("::", ("fe80::1%eth0", 3260, 0, 2), "[fe80::1]:3260"),
    ("::", ("::1", 3260, 0, 0), "[::1]:3260"),
    ("0.0.0.0", ("192.0.2.1", 3260), "192.0.2.1:3260"),
    ("0.0.0.0", ("2001:db8::1", 3260, 0, 0), None),
    ("::ffff:192.0.2.7", ("::ffff:192.0.2.7", 3260, 0, 0), "192.0.2.7:3260"),
    ("fe80::1%eth0", ("2001:db8::1", 3260, 0, 0), "[fe80::1]:3260"),
    ("192.0.2.9", ("2001:db8::1", 3260, 0, 0), "192.0.2.9:3260"),
    ("2001:db8::9", ("192.0.2.1", 3260), "[2001:db8::9]:3260"),
]


def seen(listening_at: list[Portal], arrived_at: tuple[object, ...]) -> TargetDirectory:
    directory = TargetDirectory([Target(NAME, 1, LunMaps({}), portals=listening_at)])
    return directory.seen_from(Arrived(*arrived_at))  # type: ignore[arg-type]


@pytest.mark.parametrize(("listening_at", "arrived_at", "reported"), ADDRESSES)
def test_a_host_is_given_an_address_that_it_can_dial(
    listening_at: str, arrived_at: tuple[object, ...], reported: str | None
) -> None:
    found = seen([Portal(listening_at, 3260)], arrived_at).portals(NAME)
    assert [portal.address for portal in found] == ([] if reported is None else [reported])


def test_an_address_is_reported_once() -> None:
    directory = seen([Portal("::", 3260), Portal("192.0.2.1", 3260), Portal("::", 3261)], ("::ffff:192.0.2.1", 3260, 0, 0))
    assert [portal.address for portal in directory.portals(NAME)] == ["192.0.2.1:3260", "192.0.2.1:3261"]


def test_a_portal_is_named_by_the_address_that_was_reached() -> None:
    assert seen([], ("::ffff:192.0.2.1", 3260, 0, 0)).portal == "192.0.2.1:3260"
    assert seen([], ("fe80::1%eth0", 3260, 0, 2)).portal == "[fe80::1]:3260"


@pytest.mark.parametrize(("discovery", "target_name", "asks"), [(False, "", False), (False, "x", True), (True, "", True)])
def test_a_session_that_names_a_target_authenticates_even_for_discovery(discovery: bool, target_name: str, asks: bool) -> None:
    directory = TargetDirectory([Target("x", 1, LunMaps({}), Authentication(Accounts([]), discovery, bytes))])
    assert (directory.authenticator("iqn.a", target_name) is not None) is asks


@pytest.mark.parametrize("host", ["host.example", "localhost"])
def test_a_name_stays_as_it_is(host: str) -> None:
    assert plain_host(host) == host


async def test_a_portal_at_all_addresses_of_both_kinds_gives_each_host_its_own_kind() -> None:
    try:
        listeners = await trio.open_tcp_listeners(0, host="::1")
    except OSError:
        pytest.skip("this machine has no IPv6")
    for listener in listeners:
        await listener.aclose()
    async with Array(Config(luns=LUNS, portals=(Portal("::", 0),)), open_pool=open_pool) as array:
        port = array.portals[0].port
        for host, reported in (("127.0.0.1", f"127.0.0.1:{port},1"), ("::1", f"[::1]:{port},1")):
            (target,) = await discover(RemotePortal(host, port), OPTIONS)
            assert target.addresses == (reported,)
