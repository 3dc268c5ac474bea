"""A table of the keys of RFC 7143 13. Each row has the kind, default, range and result function of a key, its senders, and the
phases in which it may be sent.

`answerer` and `offerer` interpret the rows, each for its role. `use` says when a key may be sent, in the terms of the RFC:

IO (initialize only)              in the login of a connection
LO (leading only)                 in the login of the first connection of a session
ALL                               whenever keys may be sent
FFPO (full feature phase only)    in full feature phase
"""

from dataclasses import dataclass, fields
from enum import Enum, Flag, auto
from typing import TypeAlias

from odx_target.iscsi.names import MAX_NAME_BYTES

Value: TypeAlias = bool | int | str

NOT_UNDERSTOOD = "NotUnderstood"
IRRELEVANT = "Irrelevant"
REJECT = "Reject"
NONE = "None"
RESERVED_ANSWERS = frozenset({NOT_UNDERSTOOD, IRRELEVANT, REJECT})

MAX_SEGMENT_BYTES = (1 << 24) - 1
MIN_SEGMENT_BYTES = 512
MAX_NUMBER = (1 << 64) - 1
"""Largest numerical-value (6.1)."""
MAX_VALUE_BYTES = 255
"""Maximum length of a value, or of one element of a list, for keys without another limit (6.1)."""
MAX_LARGE_VALUE_BYTES = 8192
"""Maximum length of the text of a large binary value (CHAP, SRP). The longest value has 1024 bytes (RFC 7143 12.1), so its
hexadecimal form fits."""


class Kind(Enum):
    """The form of a key's values, and the rule for the result (RFC 7143 6.1, 6.2)."""

    LIST = auto()
    """The offer is a list in order of preference, and the result is one element of it."""
    MINIMUM = auto()
    MAXIMUM = auto()
    AND = auto()
    OR = auto()
    DECLARED_NUMBER = auto()
    """Each side declares its own value; there is no answer."""
    DECLARED_TEXT = auto()
    OBSOLETE_BOOLEAN = auto()
    """An obsolete key of RFC 3720; No is always a valid answer (13.25)."""
    OBSOLETE_NUMBER = auto()
    """An obsolete key of RFC 3720; Reject is the only valid answer."""
    SECURITY = auto()
    """A key of an authentication method (12.1)."""


class Use(Enum):
    IO = auto()
    LO = auto()
    ALL = auto()
    FFPO = auto()


class Sender(Flag):
    INITIATOR = auto()
    TARGET = auto()
    BOTH = INITIATOR | TARGET


@dataclass(frozen=True, slots=True)
class Key:
    """One row of the table of keys. `field` is the attribute of Parameters that holds the result; it is empty if the result is
    not kept.

    `max_value_bytes` limits the length of the value. If `is_list` is True, `max_value_bytes` limits the length of each element.
    """

    name: str
    kind: Kind
    use: Use
    sender: Sender = Sender.BOTH
    field: str = ""
    default: Value = ""
    lowest: int = 0
    highest: int = 0
    irrelevant_in_discovery: bool = False
    in_security_stage: bool = False
    choices: tuple[str, ...] = ()
    max_value_bytes: int = MAX_VALUE_BYTES
    is_list: bool = False


def _boolean(name: str, field: str, kind: Kind, default: bool) -> Key:
    return Key(name, kind, Use.LO, Sender.BOTH, field, default, irrelevant_in_discovery=True)


def _number(name: str, field: str, kind: Kind, default: int, lowest: int, highest: int, *, discovery: bool = False) -> Key:
    return Key(name, kind, Use.LO, Sender.BOTH, field, default, lowest, highest, irrelevant_in_discovery=not discovery)


def _digest(name: str, field: str) -> Key:
    return Key(name, Kind.LIST, Use.IO, Sender.BOTH, field, NONE, choices=("CRC32C", NONE), is_list=True)


def _text(name: str, use: Use, sender: Sender, field: str = "", max_value_bytes: int = MAX_VALUE_BYTES) -> Key:
    return Key(name, Kind.DECLARED_TEXT, use, sender, field, in_security_stage=True, max_value_bytes=max_value_bytes)


def _security(name: str, max_value_bytes: int = MAX_VALUE_BYTES, *, is_list: bool = False) -> Key:
    return Key(name, Kind.SECURITY, Use.IO, in_security_stage=True, max_value_bytes=max_value_bytes, is_list=is_list)


_SECURITY_LISTS = ("AuthMethod", "CHAP_A", "SRP_GROUP")
_SECURITY_TEXTS = ("CHAP_I", "CHAP_N", "SRP_U", "TargetAuth")
_SECURITY_BINARIES = ("CHAP_C", "CHAP_R", "KRB_AP_REQ", "KRB_AP_REP", "SRP_s", "SRP_A", "SRP_B", "SRP_M", "SRP_HM")

KEYS: tuple[Key, ...] = (
    _digest("HeaderDigest", "header_digest"),  # 13.1
    _digest("DataDigest", "data_digest"),  # 13.1
    _number("MaxConnections", "max_connections", Kind.MINIMUM, 1, 1, 65535),  # 13.2
    Key("SendTargets", Kind.DECLARED_TEXT, Use.FFPO, Sender.INITIATOR),  # 13.3
    _text("TargetName", Use.IO, Sender.BOTH, "target_name", MAX_NAME_BYTES),  # 13.4
    _text("InitiatorName", Use.IO, Sender.INITIATOR, "initiator_name", MAX_NAME_BYTES),  # 13.5
    _text("TargetAlias", Use.ALL, Sender.TARGET, "target_alias"),  # 13.6
    _text("InitiatorAlias", Use.ALL, Sender.INITIATOR, "initiator_alias"),  # 13.7
    _text("TargetAddress", Use.ALL, Sender.TARGET),  # 13.8
    _text("TargetPortalGroupTag", Use.IO, Sender.TARGET, "target_portal_group_tag"),  # 13.9
    _boolean("InitialR2T", "initial_r2t", Kind.OR, True),  # 13.10
    _boolean("ImmediateData", "immediate_data", Kind.AND, True),  # 13.11
    Key(  # 13.12
        "MaxRecvDataSegmentLength",
        Kind.DECLARED_NUMBER,
        Use.ALL,
        Sender.BOTH,
        "max_send_data_segment_length",
        8192,
        MIN_SEGMENT_BYTES,
        MAX_SEGMENT_BYTES,
    ),
    _number("MaxBurstLength", "max_burst_length", Kind.MINIMUM, 262144, MIN_SEGMENT_BYTES, MAX_SEGMENT_BYTES),  # 13.13
    _number("FirstBurstLength", "first_burst_length", Kind.MINIMUM, 65536, MIN_SEGMENT_BYTES, MAX_SEGMENT_BYTES),  # 13.14
    _number("DefaultTime2Wait", "default_time2wait_s", Kind.MAXIMUM, 2, 0, 3600, discovery=True),  # 13.15
    _number("DefaultTime2Retain", "default_time2retain_s", Kind.MINIMUM, 20, 0, 3600, discovery=True),  # 13.16
    _number("MaxOutstandingR2T", "max_outstanding_r2t", Kind.MINIMUM, 1, 1, 65535),  # 13.17
    _boolean("DataPDUInOrder", "data_pdu_in_order", Kind.OR, True),  # 13.18
    _boolean("DataSequenceInOrder", "data_sequence_in_order", Kind.OR, True),  # 13.19
    _number("ErrorRecoveryLevel", "error_recovery_level", Kind.MINIMUM, 0, 0, 2, discovery=True),  # 13.20
    _text("SessionType", Use.LO, Sender.INITIATOR, "session_type"),  # 13.21
    Key(  # 13.23
        "TaskReporting",
        Kind.LIST,
        Use.LO,
        Sender.BOTH,
        "task_reporting",
        "RFC3720",
        irrelevant_in_discovery=True,
        choices=("RFC3720", "ResponseFence", "FastAbort"),
        is_list=True,
    ),
    _number("iSCSIProtocolLevel", "iscsi_protocol_level", Kind.MINIMUM, 1, 0, 31),  # 13.24
    Key("IFMarker", Kind.OBSOLETE_BOOLEAN, Use.ALL),  # 13.25
    Key("OFMarker", Kind.OBSOLETE_BOOLEAN, Use.ALL),
    Key("IFMarkInt", Kind.OBSOLETE_NUMBER, Use.ALL),
    Key("OFMarkInt", Kind.OBSOLETE_NUMBER, Use.ALL),
    _text("X#NodeArchitecture", Use.LO, Sender.BOTH),  # 13.26; accepted and not kept, as 13.26.2 allows
    *(_security(name, is_list=True) for name in _SECURITY_LISTS),  # 12.1 to 12.1.3
    *(_security(name) for name in _SECURITY_TEXTS),
    *(_security(name, MAX_LARGE_VALUE_BYTES) for name in _SECURITY_BINARIES),
)

KEY_BY_NAME: dict[str, Key] = {key.name: key for key in KEYS}


@dataclass(slots=True)
class Parameters:
    """The values of the keys for a connection and its session. Before a negotiation, the values are the defaults in the table
    of keys.

    `max_send_data_segment_length` is the MaxRecvDataSegmentLength that the other side declared, in bytes.
    """

    header_digest: str = NONE
    data_digest: str = NONE
    max_connections: int = 1
    target_name: str = ""
    initiator_name: str = ""
    target_alias: str = ""
    initiator_alias: str = ""
    target_portal_group_tag: str = ""
    initial_r2t: bool = True
    immediate_data: bool = True
    max_send_data_segment_length: int = 8192
    max_burst_length: int = 262144
    first_burst_length: int = 65536
    default_time2wait_s: int = 2
    default_time2retain_s: int = 20
    max_outstanding_r2t: int = 1
    data_pdu_in_order: bool = True
    data_sequence_in_order: bool = True
    error_recovery_level: int = 0
    session_type: str = "Normal"
    task_reporting: str = "RFC3720"
    iscsi_protocol_level: int = 1

    def adopt(self, other: "Parameters") -> None:
        """Copy all values from `other`, which has the results of a negotiation."""
        for each in fields(self):
            setattr(self, each.name, getattr(other, each.name))


def decode_number(text: str) -> int:
    """Return the number in a text: decimal, or hexadecimal after 0x (RFC 7143 6.1). Raises ValueError if the text is not a
    number below 2^64.
    """
    digits, base = (text[2:], 16) if text[:2] in ("0x", "0X") else (text, 10)
    if not digits.isascii() or not digits.isalnum() or len(digits) > MAX_VALUE_BYTES:
        raise ValueError(f"{text[:40]!a} is no number")
    number = int(digits, base)
    if number > MAX_NUMBER:
        raise ValueError(f"{text[:40]!a} is not below 2^64")
    return number


def decode_boolean(text: str) -> bool:
    """Return True for Yes and False for No. Raises ValueError for any other text."""
    if text not in ("Yes", "No"):
        raise ValueError(f"{text[:40]!a} is neither Yes nor No")
    return text == "Yes"


def encode_value(value: Value) -> str:
    """Return the text that is sent for a value."""
    if isinstance(value, bool):
        return "Yes" if value else "No"
    return str(value)
