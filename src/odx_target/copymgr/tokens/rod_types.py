"""Table of the ROD types, and the sets of types that a copy manager can make and accept (SPC-4 7.8.17.8)."""

from dataclasses import dataclass, replace
from enum import IntEnum


class RodType(IntEnum):
    ACCESS_UPON_REFERENCE = 0x0001_0000
    POINT_IN_TIME_DEFAULT = 0x0080_0000
    POINT_IN_TIME_CHANGE_VULNERABLE = 0x0080_0001
    POINT_IN_TIME_PERSISTENT = 0x0080_0002
    POINT_IN_TIME_ANY = 0x0080_FFFF
    BLOCK_DEVICE_ZERO = 0xFFFF_0001


@dataclass(frozen=True, slots=True)
class RodTypeRow:
    """One ROD type.

    `token_in` is True if WRITE USING TOKEN accepts tokens of this type. `token_out` is True if POPULATE TOKEN makes tokens of
    this type. `text` is the name that is shown to operators.
    """

    rod_type: RodType
    text: str
    token_in: bool
    token_out: bool


ROD_TYPES: dict[int, RodTypeRow] = {
    row.rod_type: row
    for row in (
        RodTypeRow(RodType.ACCESS_UPON_REFERENCE, "access upon reference", token_in=False, token_out=False),
        RodTypeRow(RodType.POINT_IN_TIME_DEFAULT, "point in time copy, default", token_in=True, token_out=True),
        RodTypeRow(
            RodType.POINT_IN_TIME_CHANGE_VULNERABLE, "point in time copy, change vulnerable", token_in=True, token_out=True
        ),
        RodTypeRow(RodType.POINT_IN_TIME_PERSISTENT, "point in time copy, persistent", token_in=True, token_out=True),
        RodTypeRow(RodType.BLOCK_DEVICE_ZERO, "block device zero", token_in=True, token_out=False),
    )
}
"""Rows by ROD type. The type "any" is missing: an initiator can request it, but no token has this type."""


@dataclass(frozen=True, slots=True)
class RodTypes:
    """The ROD types of a copy manager.

    `default` is the type of the token that POPULATE TOKEN makes if the host names no type. `made` are the types that POPULATE
    TOKEN makes, and `accepted` are those that WRITE USING TOKEN accepts.
    """

    default: RodType
    made: frozenset[RodType]
    accepted: frozenset[RodType]

    def is_accepted(self, rod_type: int) -> bool:
        """True if tokens of this type are accepted."""
        return rod_type in self.accepted

    def to_make(self, rod_type_valid: bool, rod_type: int) -> RodType | None:
        """Return the type of the token that a POPULATE TOKEN makes. Return None if the requested type is not supported."""
        if not rod_type_valid:
            return self.default
        wanted = TYPE_FOR_ANY if rod_type == RodType.POINT_IN_TIME_ANY else rod_type
        return RodType(wanted) if wanted in self.made else None

    def rows(self) -> list[RodTypeRow]:
        """Return the rows of all these types, by ascending type, with the uses that these types have."""
        return [
            replace(row, token_in=row.rod_type in self.accepted, token_out=row.rod_type in self.made)
            for _, row in sorted(ROD_TYPES.items())
            if row.rod_type in self.accepted | self.made
        ]


TYPE_FOR_ANY = RodType.POINT_IN_TIME_PERSISTENT
"""Type of the token that is made for a request of the type "any". A host that requests this type wants the most durable type
(SBC-4 5.24.2).
"""


POINT_IN_TIME_TYPES = RodTypes(
    default=RodType.POINT_IN_TIME_DEFAULT,
    made=frozenset(row.rod_type for row in ROD_TYPES.values() if row.token_out),
    accepted=frozenset(row.rod_type for row in ROD_TYPES.values() if row.token_in),
)
"""The usual types: a token represents the data at the time at which it was made."""

ACCESS_UPON_REFERENCE_TYPES = RodTypes(
    default=RodType.ACCESS_UPON_REFERENCE,
    made=frozenset({RodType.ACCESS_UPON_REFERENCE}),
    accepted=frozenset({RodType.ACCESS_UPON_REFERENCE, RodType.BLOCK_DEVICE_ZERO}),
)
"""The types of an array without snapshots: a token represents the data at the time at which it is used."""


def describe_rod_type(rod_type: int) -> str:
    """Describe the value of a ROD TYPE field."""
    if rod_type == RodType.POINT_IN_TIME_ANY:
        return "point in time copy, any"
    row = ROD_TYPES.get(rod_type)
    return "unknown" if row is None else row.text
