"""The targets of an array. Each has its own portals, CHAP users and LUN maps. All present logical units of the same pool."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from odx_target.iscsi.login.chap import Accounts, Entropy
from odx_target.scsi.lun_map import LunMap
from odx_target.scsi.target_port import TargetPort
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.target.access.lun_maps import LunMaps
from odx_target.target.access.target_ports import TargetPortSettings
from odx_target.target.config.address_settings import check_addresses
from odx_target.target.config.chap import accounts_of, chap_warnings
from odx_target.target.config.error import ConfigError
from odx_target.target.config.redirection_loops import check_redirections
from odx_target.target.config.settings import Config, Portal, TargetConfig
from odx_target.target.own_addresses import is_own_host


@dataclass(frozen=True, slots=True)
class Authentication:
    """CHAP accounts for normal sessions, and for discovery sessions if `discovery` is True.

    `entropy` returns random bytes for challenges.
    """

    accounts: Accounts
    discovery: bool
    entropy: Entropy


@dataclass(slots=True, eq=False)
class Target:
    """A target that initiators may log in to.

    `relative_target_port` is the relative target port of the portal group with tag 1, and distinguishes the ports of this
    target from those of other targets. `ports` are its ports by portal group tag. If `authentication` is None, initiators log
    in without CHAP. `portals` are the addresses at which the target can be reached.
    """

    name: str
    relative_target_port: int
    lun_maps: LunMaps
    authentication: Authentication | None = None
    portals: Sequence[Portal] = ()
    ports: Mapping[int, TargetPort] = field(default_factory=dict)


def target_configs(config: Config) -> list[TargetConfig]:
    """Return the settings of all targets. The first target has the settings of the array itself."""
    first = TargetConfig(
        config.iqn,
        config.portals,
        config.access,
        config.chap_users,
        config.target_chap,
        config.max_sessions,
        config.port_group,
        config.relative_target_port,
        config.max_commands,
        config.memory_share,
    )
    return [first, *config.targets]


def portals_of(config: Config) -> list[Portal]:
    """Return the portals of all targets. Several targets may share a portal."""
    own = (portal for target in config.targets for portal in target.portals or ())
    return [*config.portals, *dict.fromkeys(portal for portal in own if portal not in config.portals)]


def target_ports_of(config: Config) -> TargetPortSettings:
    """Return the target ports in a configuration."""
    return TargetPortSettings(config, target_configs(config))


def authentications_of(
    config: Config, entropy: Entropy, is_own_host: Callable[[str], bool] = is_own_host
) -> list[Authentication | None]:
    """Return the authentication of each target. Raises ConfigError for settings of any kind that contradict each other.

    `is_own_host` says if a numeric address belongs to this machine.
    """
    check_addresses(portals_of(config), config.announced, config.redirects)
    targets = target_configs(config)
    check_redirections(targets, config.portals, config.announced, config.redirects, is_own_host)
    target_ports_of(config).check()
    for index, target in enumerate(targets):
        if any(other.iqn == target.iqn for other in targets[:index]):
            raise ConfigError(f"target: the name {target.iqn} is used twice")
    found = []
    for target in targets:
        is_own = target.chap_users is not None or target.target_chap is not None
        users, own = (target.chap_users or (), target.target_chap) if is_own else (config.chap_users, config.target_chap)
        accounts = accounts_of(users, own)
        found.append(None if accounts is None else Authentication(accounts, config.chap_discovery, entropy))
    return found


def warnings_of(config: Config, config_file: Path | None) -> list[str]:
    """Return warnings, one line each, about CHAP settings of any target that are allowed but unsafe.

    `config_file` contains the secrets that are not in separate files.
    """
    targets = target_configs(config)
    found = (warning for each in targets for warning in chap_warnings(each.chap_users or (), each.target_chap, config_file))
    return list(dict.fromkeys(found))


def targets_of(
    config: Config,
    logical_units: dict[int, LogicalUnit],
    authentications: Sequence[Authentication | None],
    listening: Sequence[Portal],
    numbers: Mapping[str, int],
    running: Sequence[Target] = (),
) -> list[Target]:
    """Return the targets of a configuration, in its order, with their authentication and portals.

    `listening` has the actual address of each portal of `portals_of`. `numbers` has the relative target port of each target
    (see `PortNumbers`). The targets in `running` that the configuration names keep their relative target ports and their access
    rules.
    """
    actual = dict(zip(portals_of(config), listening, strict=True))
    shared = listening[: len(config.portals)]
    target_ports = target_ports_of(config)
    by_name = {target.name: target for target in running}
    targets = []
    for index, (settings, authentication) in enumerate(zip(target_configs(config), authentications, strict=True)):
        target = by_name.get(settings.iqn)
        if target is None:
            target = Target(settings.iqn, numbers[settings.iqn], LunMaps(logical_units, settings.access))
        target.ports = target_ports.ports_of(index, target.relative_target_port)
        own = None if index == 0 else settings.portals
        target.portals = shared if own is None else [actual[portal] for portal in own]
        target.authentication = authentication
        targets.append(target)
    return targets


def all_ports(targets: Sequence[Target]) -> list[TargetPort]:
    """Return the ports of all targets."""
    return [port for target in targets for port in target.ports.values()]


class TargetLimits(NamedTuple):
    """The limits of the targets that have their own, by the name of the target: the maximum number of sessions, the maximum
    number of commands of a session, and the percentage of the common memory for data.
    """

    sessions: Mapping[str, int]
    commands: Mapping[str, int]
    memory_percent: Mapping[str, int]


def limits_of(config: Config) -> TargetLimits:
    """Return the limits of the targets in a configuration."""
    targets = target_configs(config)
    return TargetLimits(
        {each.iqn: each.max_sessions for each in targets if each.max_sessions is not None},
        {each.iqn: each.max_commands for each in targets if each.max_commands is not None},
        {each.iqn: each.memory_share for each in targets if each.memory_share is not None},
    )


def map_of(targets: Sequence[Target], target_name: str, initiator_name: str) -> LunMap | None:
    """Return the LUN map of an initiator in a target. Return None if the initiator may not log in to the target."""
    found = next((target for target in targets if target.name == target_name), None)
    return None if found is None else found.lun_maps.map_of(initiator_name)


class TargetPortAccess:
    """The ports of the targets of an array, and the initiators that may use logical units through them (see `PortAccess`).

    `targets` is the list that all parts of the array share.
    """

    def __init__(self, targets: Sequence[Target]) -> None:
        self._targets = targets

    def relative_target_ports(self) -> Collection[int]:
        """Return the relative target ports of all targets."""
        return {port.relative_target_port for port in all_ports(self._targets)}

    def ports_of(self, initiator_port_name: str, logical_unit: LogicalUnit) -> Iterator[int]:
        """Yield the relative target ports through which an initiator may use a logical unit when it logs in."""
        for target in self._targets:
            if _may_use(target, initiator_port_name, logical_unit):
                yield from (port.relative_target_port for port in target.ports.values())

    def has_several_ports(self, device_name: str) -> bool:
        """True if the target with this name has more than one portal group."""
        return any(target.name == device_name and len(target.ports) > 1 for target in self._targets)

    def may_use(self, initiator_port_name: str, relative_target_port: int, logical_unit: LogicalUnit) -> bool:
        """True if an initiator may use a logical unit when it logs in through a port."""
        for target in self._targets:
            if any(port.relative_target_port == relative_target_port for port in target.ports.values()):
                return _may_use(target, initiator_port_name, logical_unit)
        return False


def _may_use(target: Target, initiator_port_name: str, logical_unit: LogicalUnit) -> bool:
    lun_map = target.lun_maps.map_of(initiator_port_name.partition(",")[0])
    return lun_map is not None and lun_map.lun_of(logical_unit) is not None
