"""The settings of target port groups, in a file and together."""

from dataclasses import replace
from pathlib import Path

import pytest

from odx_target.scsi.asymmetric_access.access_state import AccessState
from odx_target.scsi.asymmetric_access.port_groups import AccessModes, PortGroups
from odx_target.target.access.targets import authentications_of, target_ports_of
from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings import (
    Config,
    LunConfig,
    Portal,
    PortalGroupConfig,
    PortGroupConfig,
    TargetConfig,
)
from odx_target.target.config.settings_file import load_config
from tests.target.access.port_groups import GROUPS, ONE, TWO, running
from tests.target.access.sessions import B, luns, session_of


def groups_of(config: Config) -> PortGroups:
    """Return the target port groups when an array with these settings starts."""
    ports = target_ports_of(config)
    return ports.port_groups(ports.all_ports())


FILE = """
portal = ["127.0.0.1:3260", "127.0.0.1:3261"]
asymmetric-access = "both"
transition-time = 5
port-group = 1
[[portal-group]]
tag = 2
portal = "127.0.0.1:3261"
port-group = 7
[[target-port-group]]
number = 7
state = "unavailable"
preferred = true
[[target]]
iqn = "iqn.2026-11.example:second"
[[target]]
iqn = "iqn.2026-11.example:third"
port-group = 7
"""


def test_settings_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(FILE)
    config = load_config(tmp_path / "a.toml")
    groups = groups_of(config)
    assert (groups.modes, groups.transition_time_s) == (AccessModes.BOTH, 5)
    found = [(group.number, group.state, group.is_preferred, group.relative_target_ports) for group in groups.groups]
    assert found == [
        (1, AccessState.ACTIVE_OPTIMIZED, False, (1, 2, 1025)),
        (7, AccessState.UNAVAILABLE, True, (3, 1026, 1027)),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('asymmetric-access = "yes"', "asymmetric-access: want one of none, implicit, explicit, both"),
        ("transition-time = 255", "transition-time: want a number from 0 to 254"),
        ("port-group = 0", "port-group: want a number from 1 to 65535"),
        ("port-group = 65536", "port-group: want a number from 1 to 65535"),
        ('[[portal-group]]\nportal = "127.0.0.1"', "portal-group: tag is missing"),
        ('[[portal-group]]\ntag = 61\nportal = "127.0.0.1"', "portal-group: tag: want a number from 1 to 60"),
        ('[[portal-group]]\ntag = 2\nportal = "127.0.0.1"\nx = 1', "portal-group: unknown key 'x'"),
        ("[portal-group]", r"want tables \[\[portal-group\]\]"),
        ('[[target-port-group]]\nstate = "standby"', "target-port-group: number is missing"),
        ('[[target-port-group]]\nnumber = 1\nstate = "off"', "target-port-group: state: want one of active-optimized"),
        ("[[target-port-group]]\nnumber = 1\npreferred = 1", "preferred: want true or false"),
        ("[[target-port-group]]\nnumber = 1\n" * 257, "257 tables are over the limit of 256"),
    ],
)
def test_wrong_values_are_refused(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "a.toml").write_text(line)
    with pytest.raises(ConfigError, match=message):
        load_config(tmp_path / "a.toml")


MANY = tuple(TargetConfig(f"iqn.2026-11.example:{number}") for number in range(255))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (Config(portal_groups=(PortalGroupConfig(2, (TWO,)),)), "localhost:0 is no portal of the array"),
        (replace(GROUPS, portal_groups=(PortalGroupConfig(2, (TWO,)), PortalGroupConfig(2, (ONE,)))), "tag 2 is named twice"),
        (
            replace(GROUPS, portal_groups=(PortalGroupConfig(2, (TWO,)), PortalGroupConfig(3, (TWO,)))),
            "localhost:0 is named twice",
        ),
        (replace(GROUPS, port_groups=(PortGroupConfig(1), PortGroupConfig(1))), "number 1 is named twice"),
        (replace(GROUPS, port_groups=(PortGroupConfig(3),)), "no port is in group 3"),
        (replace(GROUPS, asymmetric_access=AccessModes.NONE), "asymmetric-access is none"),
        (Config(targets=MANY), "group 1 has 256 ports, at most 255"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(config: Config, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        authentications_of(config, bytes)


def test_the_largest_number_of_ports_of_a_group() -> None:
    (group,) = groups_of(Config(targets=MANY[:-1])).groups
    assert group.relative_target_ports == tuple(range(1, 256))


def test_the_relative_target_ports_of_all_targets_differ() -> None:
    portals = tuple(Portal("127.0.0.1", port) for port in range(1, 61))
    groups = tuple(PortalGroupConfig(tag, (portal,), tag) for tag, portal in enumerate(portals, 1))
    targets = MANY[:253]
    found = groups_of(Config(portals=portals, portal_groups=groups, targets=targets)).groups
    ports = [port for group in found for port in group.relative_target_ports]
    assert len(set(ports)) == len(ports) == 60 * 254
    assert max(ports) < 1 << 16


async def test_many_ports_without_asymmetric_access_are_served() -> None:
    config = Config(luns=(LunConfig("a", 1 << 20),), portals=(ONE,), targets=MANY[:3])
    async with running(config) as array, session_of(array, B) as session:
        assert await luns(session) == [0]
