"""LUN maps: the LUNs by which nexuses address logical units."""

from dataclasses import dataclass, field

from odx_target.scsi.unit.logical_unit import LogicalUnit


@dataclass(slots=True, eq=False)
class LunMap:
    """The logical units that some nexuses can use, by LUN. The nexuses share the map, so each change applies to all of them.

    `read_only` has the LUNs whose medium these nexuses cannot change. `luns` has the LUN of each logical unit; no logical unit
    has two LUNs. `luns` is None if the LUN of each logical unit is `LogicalUnit.number`.
    """

    logical_units: dict[int, LogicalUnit] = field(default_factory=dict)
    read_only: set[int] = field(default_factory=set)
    luns: dict[LogicalUnit, int] | None = field(default_factory=dict)

    def add(self, lun: int, logical_unit: LogicalUnit, *, read_only: bool) -> None:
        """Add a logical unit. Neither the LUN nor the logical unit may be in the map."""
        assert self.luns is not None, "the owner of the logical units changes this map"
        self.logical_units[lun] = logical_unit
        self.luns[logical_unit] = lun
        if read_only:
            self.read_only.add(lun)

    def lun_of(self, logical_unit: LogicalUnit) -> int | None:
        """Return the LUN of a logical unit. Return None if it is not in the map."""
        if self.luns is not None:
            return self.luns.get(logical_unit)
        is_present = self.logical_units.get(logical_unit.number) is logical_unit
        return logical_unit.number if is_present else None

    def remove(self, logical_unit: LogicalUnit) -> None:
        """Remove a logical unit. Does nothing if the logical unit is not in the map."""
        assert self.luns is not None, "the owner of the logical units changes this map"
        lun = self.luns.pop(logical_unit, None)
        if lun is not None:
            del self.logical_units[lun]
            self.read_only.discard(lun)
