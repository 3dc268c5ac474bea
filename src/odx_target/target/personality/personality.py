"""A personality: the identity, the limits and the habits of another array, which this array takes over for a test.

A personality is data from a TOML file (`reading`). It consists of properties of logical units, limits and options of the copy
manager, commands that are missing, sense data that is replaced, and rules of faults.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from odx_target.copymgr.limits import CopyLimits, CopyOptions
from odx_target.scsi.unit.unit_personality import USUAL, UnitPersonality

if TYPE_CHECKING:  # the settings of an array must load quickly
    from odx_target.scsi.command_table import CommandCode
    from odx_target.scsi.sense import Condition


class Setting(NamedTuple):
    """One setting of a personality, as text: the key, the value in the file, and the meaning with its clause."""

    key: str
    value: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Personality:
    """The settings of a personality. The defaults change nothing.

    `block_bytes` is the block length of new LUNs for which 512 bytes are chosen. `forbidden_bits` has the bits that must be
    zero in the CDBs of commands. `conditions` maps the sense data of this array to that which is reported instead. `faults` are
    rules of faults.
    """

    name: str = ""
    title: str = ""
    description: str = ""
    sources: tuple[str, ...] = ()
    unit: UnitPersonality = USUAL
    block_bytes: int | None = None
    copy_limits: CopyLimits = field(default_factory=CopyLimits)
    copy_options: CopyOptions = field(default_factory=CopyOptions)
    missing_commands: frozenset[CommandCode] = frozenset()
    forbidden_bits: Mapping[CommandCode, bytes] = field(default_factory=dict)
    conditions: Mapping[Condition, Condition] = field(default_factory=dict)
    faults: tuple[Mapping[str, object], ...] = ()
    settings: tuple[Setting, ...] = ()
    table: Mapping[str, object] = field(default_factory=dict)
    """The content of the file, from which the same personality can be made again."""


NO_PERSONALITY = Personality()
"""The personality of an array that is only itself."""
