"""The settings with which an array starts again after the fault `restart`."""

from dataclasses import replace

import pytest

from odx_target.cli.serving.restart import with_actual_ports
from odx_target.configured_pool import open_pool
from odx_target.target.array import Array
from odx_target.target.config.settings import (
    Config,
    Portal,
    PortalGroupConfig,
    PortGroupConfig,
    RedirectRule,
    TargetConfig,
)
from tests.target.running import LUNS

ONE, TWO, OUTSIDE = Portal("127.0.0.1", 0), Portal("localhost", 0), Portal("192.0.2.1", 3260)


@pytest.mark.parametrize(
    "config",
    [
        Config(portals=(ONE, TWO), portal_groups=(PortalGroupConfig(2, (TWO,), 2),), port_groups=(PortGroupConfig(2),)),
        Config(portals=(ONE,), announced=((ONE, OUTSIDE),)),
        Config(portals=(ONE, TWO), redirects=(RedirectRule(TWO, portal=ONE), RedirectRule(OUTSIDE, portal=TWO))),
        Config(portals=(ONE,), targets=(TargetConfig("iqn.2026-11.example:two", (TWO,)),)),
        Config(portals=(ONE, ONE)),
    ],
    ids=["portal-group", "announce", "redirect", "target", "one portal twice"],
)
async def test_an_array_at_free_ports_starts_again_at_the_same_ports(config: Config) -> None:
    async with Array(replace(config, luns=LUNS), open_pool=open_pool) as array:
        portals, again = array.portals, with_actual_ports(array)
        targets = [(list(target.portals), target.ports) for target in array.targets]
    assert all(portal.port for portal in again.portals)
    async with Array(again, open_pool=open_pool) as array:
        assert array.portals == portals
        assert [(list(target.portals), target.ports) for target in array.targets] == targets


async def test_the_settings_of_a_portal_follow_its_port() -> None:
    config = Config(
        luns=LUNS,
        portals=(ONE, TWO),
        portal_groups=(PortalGroupConfig(2, (TWO,), 2),),
        announced=((ONE, OUTSIDE),),
        redirects=(RedirectRule(TWO, portal=ONE), RedirectRule(OUTSIDE)),
    )
    async with Array(config, open_pool=open_pool) as array:
        one, two = array.portals
        found = with_actual_ports(array)
    assert found.portals == (one, two)
    assert [group.portals for group in found.portal_groups] == [(two,)]
    assert found.announced == ((one, OUTSIDE),)
    assert found.redirects == (RedirectRule(two, portal=one), RedirectRule(OUTSIDE))
