"""The settings of personality files. One table reads, checks, shows and documents them."""

from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import Any, NamedTuple

from odx_target.copymgr.limits import MAX_NAMEABLE_RANGE_DESCRIPTORS, MAX_ROD_BYTES
from odx_target.scsi import limits as scsi_limits
from odx_target.target.faults.values import commands
from odx_target.target.personality import values
from odx_target.target.personality.values import ROD_TYPES, flag, number, size

FOUR_BYTES = 0xFFFF_FFFF
"""Greatest value of a field of four bytes."""


class Place(Enum):
    """The part of an array to which a setting belongs: the class that has the field of the setting."""

    UNIT = auto()
    """`UnitPersonality`."""
    LIMIT = auto()
    """`BlockLimits`."""
    PROVISIONING = auto()
    """`Provisioning`."""
    COPY_LIMIT = auto()
    """`CopyLimits`."""
    COPY_OPTION = auto()
    """`CopyOptions`."""
    PERSONALITY = auto()
    """`Personality`."""


class Word(NamedTuple):
    """One setting: its section and key in the file, the form of its value, its place, and its meaning with the clause."""

    section: str
    key: str
    form: str
    parse: Callable[[Any], Any]
    place: Place
    field: str
    meaning: str
    clause: str

    @property
    def name(self) -> str:
        return f"{self.section}.{self.key}"

    @property
    def explanation(self) -> str:
        """The meaning with its clause."""
        return f"{self.meaning} ({self.clause})"


def _inquiry(key: str, form: str, parse: Callable[[Any], Any], field: str, meaning: str, clause: str = "SPC-4 6.4.2") -> Word:
    return Word("inquiry", key, form, parse, Place.UNIT, field, meaning, clause)


def _limit(key: str, most: int, field: str, meaning: str) -> Word:
    return Word("block-limits", key, "SIZE", size(most), Place.LIMIT, field, meaning, "VPD page B0h, SBC-4 6.6.4")


def _provisioning(key: str, field: str, meaning: str) -> Word:
    return Word("provisioning", key, "true|false", flag, Place.PROVISIONING, field, meaning, "VPD page B2h, SBC-4 6.6.6")


def _token_limit(key: str, form: str, parse: Callable[[Any], int], field: str, meaning: str) -> Word:
    return Word("token-copy", key, form, parse, Place.COPY_LIMIT, field, meaning, "VPD page 8Fh, SBC-4 6.6.8")


def _extended_copy(key: str, form: str, parse: Callable[[Any], int], field: str, meaning: str) -> Word:
    clause = "RECEIVE COPY OPERATING PARAMETERS, SPC-4 6.17"
    return Word("extended-copy", key, form, parse, Place.COPY_LIMIT, field, meaning, clause)


WORDS: tuple[Word, ...] = (
    _inquiry("vendor", "TEXT", values.characters(8), "vendor", "T10 VENDOR IDENTIFICATION"),
    _inquiry("product", "TEXT", values.characters(16), "product", "PRODUCT IDENTIFICATION"),
    _inquiry("revision", "TEXT", values.characters(4), "revision", "PRODUCT REVISION LEVEL"),
    _inquiry("third-party-copy", "true|false", flag, "third_party_copy", "the 3PC bit, which announces third-party copies"),
    _inquiry(
        "missing-pages",
        "[CODE, ...]",
        values.pages,
        "missing_pages",
        "VPD pages that are refused, and that page 00h does not list",
        "SPC-4 7.8",
    ),
    Word(
        "lun",
        "block-length",
        "512|4096",
        values.block_length,
        Place.PERSONALITY,
        "block_bytes",
        "the block length of new LUNs, instead of 512 bytes",
        "SBC-4 4.5",
    ),
    Word(
        "block-limits",
        "maximum-transfer",
        "SIZE|unlimited",
        size(scsi_limits.MAX_TRANSFER_BYTES, may_be_unlimited=True),
        Place.LIMIT,
        "max_transfer_blocks",
        "MAXIMUM TRANSFER LENGTH of a read or write. If it is 0 (not reported) or `unlimited`, the limit of this array applies",
        "VPD page B0h, SBC-4 6.6.4",
    ),
    _limit(
        "optimal-transfer",
        scsi_limits.MAX_TRANSFER_BYTES,
        "optimal_transfer_blocks",
        "OPTIMAL TRANSFER LENGTH of a read or write; 0 means not reported",
    ),
    _limit("maximum-unmap", scsi_limits.MAX_UNMAP_BYTES, "max_unmap_blocks", "MAXIMUM UNMAP LBA COUNT of all ranges"),
    Word(
        "block-limits",
        "maximum-unmap-descriptors",
        "NUMBER",
        number(0, scsi_limits.MAX_UNMAP_DESCRIPTORS),
        Place.LIMIT,
        "max_unmap_descriptors",
        "MAXIMUM UNMAP BLOCK DESCRIPTOR COUNT",
        "VPD page B0h, SBC-4 6.6.4",
    ),
    _limit(
        "maximum-write-same",
        scsi_limits.MAX_WRITE_SAME_BYTES,
        "max_write_same_blocks",
        "MAXIMUM WRITE SAME LENGTH; 0 means not reported",
    ),
    _limit(
        "maximum-compare-and-write",
        scsi_limits.MAX_COMPARE_AND_WRITE_BYTES,
        "max_compare_and_write_blocks",
        "MAXIMUM COMPARE AND WRITE LENGTH; 0 means that hosts must not use the command",
    ),
    _limit(
        "maximum-atomic-transfer",
        scsi_limits.MAX_ATOMIC_TRANSFER_BYTES,
        "max_atomic_transfer_blocks",
        "MAXIMUM ATOMIC TRANSFER LENGTH; 0 means that hosts must not use WRITE ATOMIC",
    ),
    _provisioning("thin", "thin", "the LUN is thin provisioned, as PROVISIONING TYPE and LBPME report it"),
    _provisioning("unmap", "unmap", "LBPU, which announces UNMAP"),
    _provisioning("write-same", "write_same", "LBPWS and LBPWS10, which announce the UNMAP bit of WRITE SAME"),
    _provisioning("reads-as-zeros", "reads_as_zeros", "LBPRZ, which promises that unmapped blocks read as zeros"),
    _token_limit(
        "maximum-ranges",
        "NUMBER",
        number(1, MAX_NAMEABLE_RANGE_DESCRIPTORS),
        "max_range_descriptors",
        "MAXIMUM RANGE DESCRIPTORS of a command",
    ),
    _token_limit(
        "maximum-token",
        "SIZE",
        size(MAX_ROD_BYTES),
        "max_rod_bytes",
        "MAXIMUM TOKEN TRANSFER SIZE of all ranges of a command. If it is 0 (not reported), MAXIMUM TRANSFER LENGTH limits "
        "each range",
    ),
    _token_limit(
        "optimal-transfer",
        "SIZE",
        size(MAX_ROD_BYTES),
        "optimal_transfer_bytes",
        "OPTIMAL TRANSFER COUNT; 0 means not reported",
    ),
    _token_limit(
        "default-inactivity-timeout",
        "SECONDS",
        number(1, FOUR_BYTES),
        "default_inactivity_timeout_s",
        "DEFAULT INACTIVITY TIMEOUT of a token",
    ),
    _token_limit(
        "maximum-inactivity-timeout",
        "SECONDS",
        number(1, FOUR_BYTES),
        "max_inactivity_timeout_s",
        "MAXIMUM INACTIVITY TIMEOUT that a host may ask for",
    ),
    _token_limit(
        "maximum-lifetime", "SECONDS", number(1, FOUR_BYTES), "max_token_lifetime_s", "MAXIMUM TOKEN LIFETIME of a token"
    ),
    Word(
        "token-copy",
        "rod-type",
        "|".join(ROD_TYPES),
        values.rod_types,
        Place.COPY_OPTION,
        "rod_types",
        "a token has the data of the time when it was made, or that of the time when it is used",
        "SPC-4 7.8.17.9",
    ),
    Word(
        "token-copy",
        "zero-token",
        "true|false",
        flag,
        Place.COPY_OPTION,
        "zero_token_accepted",
        "WRITE USING TOKEN accepts the block device zero token",
        "SBC-4 4.28.4.3",
    ),
    Word(
        "token-copy",
        "causes",
        "true|false",
        flag,
        Place.COPY_OPTION,
        "token_causes_reported",
        "the sense data reports why a token is invalid",
        "SBC-4 5.55.2",
    ),
    _extended_copy("maximum-cscds", "NUMBER", number(1, 0xFFFF), "max_cscd_descriptors", "MAXIMUM CSCD DESCRIPTOR COUNT"),
    _extended_copy(
        "maximum-segments", "NUMBER", number(1, 0xFFFF), "max_segment_descriptors", "MAXIMUM SEGMENT DESCRIPTOR COUNT"
    ),
    _extended_copy("maximum-list", "SIZE", size(FOUR_BYTES), "max_descriptor_list_bytes", "MAXIMUM DESCRIPTOR LIST LENGTH"),
    _extended_copy("maximum-segment", "SIZE", size(FOUR_BYTES), "max_segment_bytes", "MAXIMUM SEGMENT LENGTH"),
    Word(
        "commands",
        "missing",
        "[NAME, ...]",
        commands,
        Place.PERSONALITY,
        "missing_commands",
        "commands that are refused, and that REPORT SUPPORTED OPERATION CODES does not list",
        "SPC-4 6.35",
    ),
    Word(
        "commands",
        "only",
        "[NAME, ...]",
        values.all_but,
        Place.PERSONALITY,
        "missing_commands",
        "all commands except these are missing",
        "SPC-4 6.35",
    ),
)
"""All settings with fixed keys, in the order of the documentation."""

SECTIONS = tuple(dict.fromkeys(word.section for word in WORDS))

FREE_SECTIONS: Mapping[str, tuple[str, str]] = {
    "zero-fields": (
        '"COMMAND" = ["FIELD", ...]',
        "fields of the CDB of a command that must be zero, as if they were reserved (SPC-4 4.2.5.6)",
    ),
    "sense": ('"NAME" = "NAME"', "sense data that is reported instead of other sense data (SPC-4 4.5)"),
}
"""Sections whose keys are names of commands or of sense data: the form of their lines, and their meaning."""
