"""The LUN maps of a target: for each access rule, the logical units that its initiators can use."""

from collections.abc import Container, Mapping, Sequence

from odx_target.scsi.lun_map import LunMap
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.target.config.access_settings import AccessRule, MappedLun, find_rule

MAX_FOUND_RULES = 1024
"""Maximum number of initiators whose rules are remembered. A search through all rules may take a millisecond."""


class LunMaps:
    """The LUN maps of one target, which change with the logical units of the array.

    `logical_units` has all logical units of the array by their numbers. Without rules, every initiator can use all of them. The
    map of a rule is made when the first initiator of the rule logs in, so that no turn of the event loop makes many maps.
    """

    def __init__(self, logical_units: dict[int, LogicalUnit], rules: Sequence[AccessRule] = ()) -> None:
        self._logical_units = logical_units
        self._all = LunMap(logical_units, luns=None)
        self.rules = rules
        self._maps: dict[int, tuple[Mapping[str, MappedLun], LunMap]] = {}
        """For each rule whose map was made, by its number: its LUNs by the name of the volume, and its map."""
        self._found: dict[str, int | None] = {}
        """The number of the rule of each initiator for which it was searched, or None if no rule matches."""
        self._replaced: list[LunMap] = []

    def set_rules(self, rules: Sequence[AccessRule]) -> None:
        """Replace the access rules.

        The nexuses keep their maps until the caller gives them those of the new rules. Then call `forget_replaced`.
        """
        self._replaced += [lun_map for _, lun_map in self._maps.values()]
        self.rules = rules
        self._maps = {}
        self._found = {}

    def forget_replaced(self) -> None:
        """Forget the maps of earlier rules, because no nexus uses them any more."""
        self._replaced.clear()

    def map_of(self, initiator_name: str) -> LunMap | None:
        """Return the LUN map of an initiator. Return None if the initiator may not log in."""
        if not self.rules:
            return self._all
        number = self._rule_of(initiator_name)
        if number is None:
            return None
        luns = self.rules[number].luns
        if luns is None:
            return self._all
        if number not in self._maps:
            places, lun_map = {each.volume: each for each in luns}, LunMap()
            self._maps[number] = places, lun_map
            for logical_unit in self._logical_units.values():
                _add(places, lun_map, logical_unit)
        return self._maps[number][1]

    def units_by_volume(self) -> dict[str, LogicalUnit]:
        """Return all logical units of the array by the names of their volumes. This takes milliseconds with many LUNs."""
        return {logical_unit.volume.name: logical_unit for logical_unit in self._logical_units.values()}

    def is_outdated(self, units: Mapping[str, LogicalUnit]) -> bool:
        """True if the map of any rule differs from the rule, because volumes were renamed. `units` are those of
        `units_by_volume`.
        """
        return any(
            lun_map.logical_units != {each.lun: units[name] for name, each in places.items() if name in units}
            for places, lun_map in self._maps.values()
        )

    def _rule_of(self, initiator_name: str) -> int | None:
        if initiator_name not in self._found:
            if len(self._found) >= MAX_FOUND_RULES:
                self._found.clear()
            self._found[initiator_name] = find_rule(self.rules, initiator_name)
        return self._found[initiator_name]

    def add(self, logical_unit: LogicalUnit) -> None:
        """Add a logical unit to the maps of the rules that name its volume."""
        for places, lun_map in self._maps.values():
            _add(places, lun_map, logical_unit)

    def remove(self, logical_unit: LogicalUnit) -> None:
        """Remove a logical unit from all maps."""
        for lun_map in [*self._replaced, *(lun_map for _, lun_map in self._maps.values())]:
            lun_map.remove(logical_unit)

    def missing_volumes(self, present: Container[str]) -> list[str]:
        """Return the names of volumes in the rules that are not `present`, because they have no logical unit."""
        named = dict.fromkeys(mapped.volume for rule in self.rules for mapped in rule.luns or ())
        return [name for name in named if name not in present]


def _add(places: Mapping[str, MappedLun], lun_map: LunMap, logical_unit: LogicalUnit) -> None:
    mapped = places.get(logical_unit.volume.name)
    # A LUN stays in use while its volume is renamed, even if another volume then gets the old name.
    if mapped is not None and mapped.lun not in lun_map.logical_units:
        lun_map.add(mapped.lun, logical_unit, read_only=mapped.read_only)
