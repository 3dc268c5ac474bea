"""The attribute of a volume that chooses its tier, and the values of the attribute."""

from collections.abc import Mapping
from enum import StrEnum

from odx_target.store.errors import StoreError

TIER_ATTRIBUTE = "tier"
"""Name of the attribute. A volume without this attribute belongs to the fast tier."""


class Tier(StrEnum):
    """The tiers of a pool. New data of all volumes is written to the fast tier."""

    FAST = "fast"
    CAPACITY = "capacity"
    """The cleaner moves the data of the volume to the capacity tier."""


def tier_of(attributes: Mapping[str, str]) -> Tier:
    """Return the tier of a volume. A value that this version does not know means the fast tier."""
    return Tier.CAPACITY if attributes.get(TIER_ATTRIBUTE) == Tier.CAPACITY else Tier.FAST


def check_tier(attributes: Mapping[str, str], *, has_capacity: bool) -> None:
    """Raise StoreError if the attributes choose a tier that does not exist, or that the pool does not have."""
    choice = attributes.get(TIER_ATTRIBUTE, Tier.FAST)
    if choice not in list(Tier):
        raise StoreError(f"tier is one of {', '.join(Tier)}, not {choice!r}")
    if choice == Tier.CAPACITY and not has_capacity:
        raise StoreError("the pool has no capacity tier; `odx-target serve POOL --capacity-tier DIR` adds one")
