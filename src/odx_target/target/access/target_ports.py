"""The target ports of an array and their target port groups, as its settings describe them."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from odx_target.scsi.asymmetric_access.port_groups import MAX_PORTS_OF_GROUP, AccessModes, PortGroup, PortGroups
from odx_target.scsi.target_port import TargetPort, iscsi_port
from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings import Config, Portal, PortGroupConfig, TargetConfig
from odx_target.target.config.target_settings import PORTS_OF_A_TAG

FIRST_TAG = 1
"""Portal group tag of the portals that are in no `[[portal-group]]`."""
DEFAULT_PORT_GROUP = 1
"""Target port group of the ports for which the settings name no group."""


def tags_of(config: Config) -> dict[Portal, int]:
    """Return the portal group tags of the portals that are in a `[[portal-group]]`."""
    return {portal: group.tag for group in config.portal_groups for portal in group.portals}


@dataclass(frozen=True, slots=True)
class TargetPortSettings:
    """The portal groups and the target port groups in the settings of an array."""

    config: Config
    targets: Sequence[TargetConfig]

    def ports_of(self, index: int, number: int) -> dict[int, TargetPort]:
        """Return the ports of the target at a place in `targets`, by portal group tag. `number` is the relative target port of
        the portal group with tag 1.
        """
        target, tags = self.targets[index], tags_of(self.config)
        portals = self.config.portals if index == 0 or target.portals is None else target.portals
        found = sorted({tags.get(portal, FIRST_TAG) for portal in portals})
        return {tag: self._port(target, number, tag) for tag in found}

    def all_ports(self) -> list[TargetPort]:
        """Return the ports of all targets when an array with a new pool starts."""
        return [port for index in range(len(self.targets)) for port in self.ports_of(index, index + 1).values()]

    def _port(self, target: TargetConfig, number: int, tag: int) -> TargetPort:
        own = (group.port_group for group in self.config.portal_groups if group.tag == tag)
        group = target.port_group or next(own, None) or DEFAULT_PORT_GROUP
        return iscsi_port(target.iqn, tag, (tag - FIRST_TAG) * PORTS_OF_A_TAG + number, group)

    def check(self) -> None:
        """Raise ConfigError for settings that contradict each other."""
        self._check_portals()
        numbers = (target.relative_target_port for target in self.targets)
        _check_unique("relative-target-port:", (number for number in numbers if number is not None))
        _check_unique("target-port-group: number", (group.number for group in self.config.port_groups))
        groups = self.port_groups(self.all_ports())
        described = {group.number for group in self.config.port_groups}
        if unused := sorted(number for number in described if groups.find(number) is None):
            raise ConfigError(f"target-port-group: no port is in group {unused[0]}; use port-group to put ports into it")
        for group in groups.groups:
            if len(group.relative_target_ports) > MAX_PORTS_OF_GROUP:
                found = len(group.relative_target_ports)
                raise ConfigError(f"target-port-group: group {group.number} has {found} ports, at most {MAX_PORTS_OF_GROUP}")
        if groups.modes is AccessModes.NONE and described:
            raise ConfigError("target-port-group: asymmetric-access is none, so no group can be described")

    def port_groups(self, ports: Iterable[TargetPort]) -> PortGroups:
        """Return the target port groups of these ports, with their states when the array starts."""
        described = {group.number: group for group in self.config.port_groups}
        members: dict[int, list[int]] = {}
        for port in ports:
            members.setdefault(port.target_port_group, []).append(port.relative_target_port)
        modes = self.config.asymmetric_access
        if modes is None:
            modes = AccessModes.IMPLICIT if described else AccessModes.NONE
        groups = (_group(number, members[number], described.get(number)) for number in sorted(members))
        return PortGroups(modes, tuple(groups), self.config.transition_time_s)

    def _check_portals(self) -> None:
        groups = self.config.portal_groups
        _check_unique("portal-group: tag", (group.tag for group in groups))
        _check_unique("portal-group: portal", (str(portal) for group in groups for portal in group.portals))
        known = {portal for target in self.targets for portal in target.portals or ()} | set(self.config.portals)
        for portal in (portal for group in groups for portal in group.portals):
            if portal not in known:
                raise ConfigError(f"portal-group: {portal} is no portal of the array")


def _check_unique(what: str, values: Iterable[object]) -> None:
    twice = next((value for value, times in Counter(values).items() if times > 1), None)
    if twice is not None:
        raise ConfigError(f"{what} {twice} is named twice")


def _group(number: int, ports: Sequence[int], described: PortGroupConfig | None) -> PortGroup:
    described = described or PortGroupConfig(number)
    return PortGroup(number, tuple(sorted(ports)), described.state, described.preferred)
