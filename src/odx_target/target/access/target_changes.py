"""Changes of the targets of a running array: targets, portals, CHAP users, access rules and limits."""

from collections.abc import Callable, Container, Sequence
from dataclasses import replace
from typing import Protocol

from odx_target.iscsi.login.chap import Entropy
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.store.api import StoreError
from odx_target.store.error_kinds import reason
from odx_target.target.access.addresses import Addresses
from odx_target.target.access.changes import AccessChanges
from odx_target.target.access.port_numbers import PortNumbers
from odx_target.target.access.targets import (
    Target,
    TargetLimits,
    authentications_of,
    limits_of,
    portals_of,
    target_configs,
    targets_of,
)
from odx_target.target.config.access_settings import AccessRule
from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings import Config, Portal, TargetConfig
from odx_target.target.event_log import log
from odx_target.target.listening_sockets import Listening, bind_portals, close_sockets, in_order, missing_portals

NOBODY = (AccessRule(()),)
"""Access rules with which no initiator may log in."""


class ArrayPortals(Protocol):
    """The portals of an array and the sessions through them, as `TargetChanges` uses them."""

    @property
    def listening(self) -> Sequence[Listening]: ...

    @property
    def max_portals(self) -> int: ...

    def listen_at(self, listening: Sequence[Listening]) -> None: ...

    def set_limits(self, limits: TargetLimits) -> None: ...

    def cut_at(self, portals: Container[Portal]) -> None: ...


class TargetChanges:
    """Changes the targets of an array to those of a configuration. `targets` is the list that all parts of the array share.

    `entropy` returns random bytes for the challenges of CHAP. `commit` commits changes to the pool.
    """

    def __init__(
        self,
        targets: list[Target],
        logical_units: dict[int, LogicalUnit],
        access_changes: AccessChanges,
        portals: ArrayPortals,
        addresses: Addresses,
        entropy: Entropy,
        port_numbers: PortNumbers,
        commit: Callable[[], None],
    ) -> None:
        self._targets = targets
        self._logical_units = logical_units
        self._access_changes = access_changes
        self._portals = portals
        self._addresses = addresses
        self._entropy = entropy
        self._port_numbers = port_numbers
        self._commit = commit

    async def apply(self, config: Config) -> None:
        """Add, change and remove targets, so that the array has the targets of a configuration at its portals.

        The sessions of targets that stay continue, also if their portal is removed. Only later logins need new CHAP users. The
        sessions of removed targets end, and those through portals that are now in another portal group. Raises ConfigError for
        settings that contradict each other, and for portals at which the array cannot listen. Then nothing has changed.
        """
        authentications = authentications_of(config, self._entropy)
        listening = await self._bind(portals_of(config))
        try:
            numbers = self._keep_numbers(config)
        except BaseException:
            close_sockets([each for each in listening if each not in self._portals.listening])
            raise
        addresses = [each.address for each in listening]
        targets = targets_of(config, self._logical_units, authentications, addresses, numbers, self._targets)
        leaving = [target for target in self._targets if target not in targets]
        self._log_changes(targets, leaving, listening)
        self._targets[:] = [*targets, *leaving]
        tags = {address: self._addresses.tag_of(address) for address in addresses}
        self._addresses.set(config, {each.portal: each.address for each in listening})
        self._portals.cut_at({address for address, tag in tags.items() if self._addresses.tag_of(address) != tag})
        self._portals.set_limits(limits_of(config))
        self._portals.listen_at(listening)
        rules = {settings.iqn: settings.access for settings in target_configs(config)}
        await self._access_changes.change({**rules, **{target.name: NOBODY for target in leaving}})
        self._targets[:] = targets

    def _with_present_numbers(self, configs: Sequence[TargetConfig]) -> list[TargetConfig]:
        """Return the settings of targets without other numbers for targets that are served, because those need a restart."""
        present = {target.name: target.relative_target_port for target in self._targets}
        return [replace(each, relative_target_port=present.get(each.iqn, each.relative_target_port)) for each in configs]

    def _keep_numbers(self, config: Config) -> dict[str, int]:
        """Return the relative target port of each target, after the pool keeps them. Raises ConfigError."""
        numbers = self._port_numbers.numbers_for(self._with_present_numbers(target_configs(config)))
        try:
            self._port_numbers.keep(numbers)
            self._commit()
        except StoreError as error:
            raise ConfigError(f"target: the pool cannot keep the relative target ports: {error}") from error
        return numbers

    def _log_changes(self, targets: Sequence[Target], leaving: Sequence[Target], listening: Sequence[Listening]) -> None:
        before = self._portals.listening
        for text, portals in (
            ("portal is new", set(listening).difference(before)),
            ("portal is removed", set(before).difference(listening)),
        ):
            for each in portals:
                log.info(text, portal=str(each.address))
        for text, found in (
            ("target is new", [each for each in targets if each not in self._targets]),
            ("target is removed", leaving),
        ):
            for target in found:
                log.info(text, target=target.name)

    async def _bind(self, wanted: Sequence[Portal]) -> list[Listening]:
        """Return the listening sockets for all wanted portals. Those that do not exist yet are bound. Raises ConfigError."""
        present = self._portals.listening
        if len(wanted) > self._portals.max_portals:
            raise ConfigError(f"{len(wanted)} portals need more file descriptors than are left (ulimit -n): restart the array")
        try:
            new = await bind_portals(missing_portals(wanted, present))
        except OSError as error:
            raise ConfigError(f"portal: {error.filename}: {reason(error)}") from error
        return in_order(wanted, [*present, *new])
