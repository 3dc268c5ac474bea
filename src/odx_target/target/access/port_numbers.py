"""The relative target ports of the targets, which the pool keeps.

Persistent registrations name a target port by its number. Therefore a target has the same number after each start, at any
position in the settings, and no other target gets its number.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from itertools import count

from odx_target.scsi.reservations.durable import remembered_reservations
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.store.api import Pool, Scarcity
from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings import TargetConfig
from odx_target.target.config.target_settings import PORTS_OF_A_TAG
from odx_target.target.event_log import log

KEY_PREFIX = "target/port/"
"""Prefix of a key in the pool. The name of a target follows. The value of the key is the number of the target."""
_NUMBER_BYTES = 2


class PortNumbers:
    """The number of each target, by the name of the target: the relative target port of its portal group with tag 1.

    `kept` also has the numbers of former targets. They are given to other targets only if all other numbers are used, and never
    while a persistent registration names one of their ports.
    """

    def __init__(self, pool: Pool, logical_units: Mapping[int, LogicalUnit]) -> None:
        self._pool = pool
        self._logical_units = logical_units
        self._stored = {
            key.removeprefix(KEY_PREFIX): int.from_bytes(pool.remembered(key) or b"", "big")
            for key in pool.remembered_keys(KEY_PREFIX)
        }
        self.kept: Mapping[str, int] = dict(self._stored)

    def numbers_at_start(self, targets: Sequence[TargetConfig]) -> dict[str, int]:
        """Return the number of each target, and store the numbers in the pool. The caller commits the change.

        If the pool has no room for them now, the array starts all the same, and `store_again` stores them later. Raises
        ConfigError.
        """
        numbers = self.numbers_for(targets)
        try:
            self.keep(numbers)
        except Scarcity as error:
            log.warning("the relative target ports of new targets are not stored yet", reason=str(error))
            self.kept = numbers
        return numbers

    def store_again(self) -> None:
        """Store the numbers that the pool could not store before. The caller commits the change."""
        if self._stored != self.kept:
            with suppress(Scarcity):
                self.keep(self.kept)

    def numbers_for(self, targets: Sequence[TargetConfig]) -> dict[str, int]:
        """Return the number of each target, and the numbers of former targets. Nothing is changed.

        A target has the number in its settings or its former number. A new target gets the smallest number that no other
        target has or had. In a pool without numbers, this is the position of the target. Raises ConfigError if the settings
        would give registrations to other ports.
        """
        numbers = dict(self.kept)
        stated: dict[int, str] = {}
        for target in targets:
            number = target.relative_target_port
            if number is not None and stated.setdefault(number, target.iqn) != target.iqn:
                raise ConfigError(f"relative-target-port: {target.iqn} cannot have {number}, which {stated[number]} has")
            if number is not None and number != numbers.get(target.iqn):
                self._set(numbers, target.iqn, number)
        present = {target.iqn for target in targets}
        for target in targets:
            if target.iqn not in numbers:
                numbers[target.iqn] = self._new_number(numbers, present)
        return numbers

    def keep(self, numbers: Mapping[str, int]) -> None:
        """Store the numbers in the pool. The caller commits the change. May raise the exceptions of `Pool.remember`."""
        for name, number in numbers.items():
            if self._stored.get(name) != number:
                self._pool.remember(KEY_PREFIX + name, number.to_bytes(_NUMBER_BYTES, "big"), spare=True)
                self._stored[name] = number
        for name in self._stored.keys() - numbers.keys():
            self._pool.forget(KEY_PREFIX + name)
            del self._stored[name]
        self.kept = dict(numbers)

    def _set(self, numbers: dict[str, int], name: str, number: int) -> None:
        """Give a target the number in its settings, and take it from the target that had it."""
        registered = self._registered_numbers()
        former = next((other for other, its_number in numbers.items() if its_number == number), None)
        for other, its_number in ((name, numbers.get(name)), (former, number)):
            if other is not None and its_number in registered:
                raise ConfigError(
                    f"relative-target-port: {name} cannot have {number}, because persistent registrations name the port "
                    f"{its_number} of {other}"
                )
        if former is not None:
            del numbers[former]
        numbers[name] = number

    def _new_number(self, numbers: dict[str, int], present: Collection[str]) -> int:
        used = set(numbers.values())
        number = next(number for number in count(1) if number not in used)
        if number <= PORTS_OF_A_TAG:
            return number
        registered = self._registered_numbers()
        for name, former in sorted(numbers.items(), key=lambda item: item[1]):
            if name not in present and former not in registered:
                del numbers[name]
                return former
        raise ConfigError(
            f"target: all {PORTS_OF_A_TAG} relative target ports are used, and persistent registrations name those of former "
            "targets"
        )

    def _registered_numbers(self) -> set[int]:
        """Return the numbers that persistent registrations name, also those of volumes without a LUN."""
        units = [unit.reservations for unit in self._logical_units.values()]
        found = (name for each in [*units, *remembered_reservations(self._pool)] for name in each.registrations)
        return {(name.relative_target_port - 1) % PORTS_OF_A_TAG + 1 for name in found}
