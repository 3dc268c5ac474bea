"""An array that starts again after the fault `restart`: its ports, and the settings that a SIGHUP reads after it."""

from dataclasses import replace
from pathlib import Path

import pytest

from odx_target.cli.serving.reload import Reloader, Settings
from odx_target.configured_pool import open_pool
from odx_target.target.array import Array
from odx_target.target.config.settings import (
    Config,
    Portal,
    PortalGroupConfig,
    PortGroupConfig,
    RedirectRule,
    ServeConfig,
    TargetConfig,
)
from odx_target.target.config.settings_file import load_config
from tests.target.access.sessions import A, code, session_of
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
    config = replace(config, luns=LUNS)
    async with Array(config, open_pool=open_pool) as array:
        portals = array.portals
        targets = [(list(target.portals), target.ports) for target in array.targets]
    assert all(portal.port for portal in portals)
    async with Array(config, open_pool=open_pool, former_portals=portals) as array:
        assert array.portals == portals
        assert [(list(target.portals), target.ports) for target in array.targets] == targets
        assert array.config == config, "the settings are those of the file"


async def test_a_reload_after_a_restart_compares_with_the_file(tmp_path: Path) -> None:
    """The file has port 0. It has not changed, so the array must stay at the ports that it has."""
    path = tmp_path / "array.toml"
    path.write_text(
        """
        portal = ["127.0.0.1:0", "localhost:0"]
        lun = [{ name = "first", size = "1M" }]
        portal-group = [{ tag = 2, portal = "localhost:0" }]
        [announce]
        "127.0.0.1:0" = "192.0.2.1:3260"
        """
    )
    config = load_config(path)
    async with Array(config, open_pool=open_pool) as array:
        portals, settings = array.portals, array.config
    async with Array(settings, open_pool=open_pool, former_portals=portals) as array, session_of(array, A) as session:
        reloader = Reloader(array, path, Settings(config, ServeConfig()))
        for change in ("", "copy-rate = 1000000\n"):
            path.write_text(change + path.read_text())
            await reloader.reload()
            assert array.portals == portals
            assert array.targets[0].ports.keys() == {1, 2}
            assert await code(session, 0) == "good"
        assert array.copy_manager.copies.copy_rate.bytes_per_s == 1_000_000
