"""The properties in which a logical unit may differ from the usual ones of this array: identity, pages, limits, provisioning.

A tester gives them to a logical unit, to find out how hosts treat other arrays. The properties are data, from which the VPD
pages and the limits of the logical unit are made.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType

from odx_target.scsi.limits import BlockLimits, block_limits_for

NO_LIMITS: Mapping[str, int] = MappingProxyType({})

COUNTS = frozenset({"max_unmap_descriptors"})
"""The fields of `BlockLimits` that are numbers. All others are sizes in blocks."""

FIELD_MAXIMA: Mapping[str, int] = MappingProxyType(
    {"max_compare_and_write_blocks": 0xFF, "max_write_same_blocks": 0xFFFF_FFFF_FFFF_FFFF}
)
"""The greatest values of the fields in VPD page B0h that have not four bytes."""


@dataclass(frozen=True, slots=True)
class Provisioning:
    """Thin provisioning, as VPD page B2h (SBC-4 6.6.6) and READ CAPACITY(16) (SBC-4 5.19) report it.

    `unmap` is LBPU, `write_same` is LBPWS and LBPWS10, and `reads_as_zeros` is LBPRZ. If `thin` is False, the logical unit
    reports that it is fully provisioned. The store always is thin.
    """

    thin: bool = True
    unmap: bool = True
    write_same: bool = True
    reads_as_zeros: bool = True


@dataclass(frozen=True, slots=True)
class UnitPersonality:
    """The properties of one logical unit that a tester can choose. The defaults are the usual ones of this array.

    `vendor`, `product` and `revision` are the texts in standard INQUIRY data, padded to their lengths. The 3PC bit is 0 if
    `third_party_copy` is False. `missing_pages` are the codes of VPD pages that the logical unit does not have. `limits` maps
    fields of `BlockLimits` to values in bytes, or to numbers for the fields in `COUNTS`. The value 0 means "not reported".
    """

    vendor: bytes = b"ODX     "
    product: bytes = b"odx-target".ljust(16)
    revision: bytes = b"0001"
    third_party_copy: bool = True
    missing_pages: frozenset[int] = frozenset()
    limits: Mapping[str, int] = field(default_factory=lambda: NO_LIMITS)
    provisioning: Provisioning = field(default_factory=Provisioning)

    def reported_limits(self, block_bytes: int) -> BlockLimits:
        """Return the limits that VPD page B0h reports for blocks of `block_bytes` bytes."""
        own = block_limits_for(block_bytes)
        return replace(own, **{name: _in_field(name, value, block_bytes) for name, value in self.limits.items()})

    def enforced_limits(self, block_bytes: int) -> BlockLimits:
        """Return the limits that commands must not exceed: those of the array, or the reported ones if they are smaller."""
        own, reported = block_limits_for(block_bytes), self.reported_limits(block_bytes)
        values = {each.name: (getattr(own, each.name), getattr(reported, each.name)) for each in fields(BlockLimits)}
        return BlockLimits(**{name: min(of_array, said or of_array) for name, (of_array, said) in values.items()})


USUAL = UnitPersonality()
"""The personality of a logical unit to which no tester has given another one.

T10 assigns vendor identifications (SPC-4 6.4.2), but "ODX" is not registered.
"""


def _in_field(name: str, value: int, block_bytes: int) -> int:
    """Return the value of a field of `BlockLimits`, at most the greatest value that VPD page B0h can report."""
    return min(value if name in COUNTS else value // block_bytes, FIELD_MAXIMA.get(name, 0xFFFF_FFFF))
