"""The words that say where a rule applies."""

from collections.abc import Callable
from typing import Any

from odx_target.target.faults import values
from odx_target.target.faults.occurrence import Point
from odx_target.target.faults.words.word import Kind, Matches, Word

_NEXUS = frozenset({Point.COMMAND, Point.COPY, Point.PDU})
_COMMANDS = frozenset({Point.COMMAND, Point.COPY})
_PDU = frozenset({Point.PDU})


def _where(
    key: str, points: frozenset[Point], parse: Callable[[object], Any], form: str, meaning: str, example: str, matches: Matches
) -> Word:
    return Word(key, Kind.WHERE, points, parse, form, meaning, example, matches)


WHERE: tuple[Word, ...] = (
    _where(
        "command",
        _COMMANDS,
        values.commands,
        "NAME[,NAME...]",
        "SCSI commands, by the names of the standards. A name without its length, such as `read`, is all of them. "
        "`83h/11h` is an operation code with a service action",
        "write-using-token",
        lambda value, seen: seen.command in value,
    ),
    _where(
        "lun",
        _COMMANDS,
        values.lun,
        "NUMBER|NAME",
        "the LUN by its number, or by the name of its volume",
        "0",
        lambda value, seen: value in (str(seen.lun), seen.volume),
    ),
    _where(
        "lba",
        frozenset({Point.COMMAND}),
        values.lba_range,
        "FIRST[-LAST]",
        "commands that touch one of these blocks",
        "100-199",
        lambda value, seen: any(
            extent.lba <= value[1] and value[0] < extent.lba + extent.count_blocks for extent in seen.extents()
        ),
    ),
    _where(
        "initiator",
        _NEXUS | {Point.LOGIN},
        values.glob,
        "NAME",
        "the name of the initiator; `*` and `?` are wildcards",
        "iqn.*:windows*",
        lambda value, seen: values.matches_glob(value, seen.initiator),
    ),
    _where(
        "target",
        _NEXUS | {Point.LOGIN},
        values.glob,
        "NAME",
        "the name of the target; `*` and `?` are wildcards",
        "*:array",
        lambda value, seen: values.matches_glob(value, seen.target),
    ),
    _where(
        "session",
        _NEXUS,
        values.isid,
        "ISID",
        "the session with this ISID, as `manage POOL sessions` shows it",
        "00023d000001",
        lambda value, seen: value == seen.isid,
    ),
    _where(
        "list-identifier",
        _COMMANDS,
        values.list_identifier,
        "NUMBER",
        "copy commands with this list identifier",
        "0x11",
        lambda value, seen: value == seen.list_identifier,
    ),
    _where(
        "copy",
        frozenset({Point.COPY}),
        values.percentage,
        "PERCENT",
        "a copy that has done this part of its work. A step of the copy ends exactly there",
        "50%",
        lambda value, seen: seen.percent >= value,
    ),
    _where(
        "pdu",
        _PDU,
        values.pdus,
        "TYPE[,TYPE...]",
        "PDUs of these types. `any` is every type",
        "r2t",
        lambda value, seen: value is None or seen.pdu in value,
    ),
    _where(
        "direction",
        _PDU,
        values.direction,
        "in|out|both",
        "the direction of the PDUs: `in` comes from the initiator. Without this word, the type decides, and `any` is `out`",
        "in",
        lambda value, seen: value is None or seen.is_received is value,
    ),
    _where(
        "login",
        frozenset({Point.LOGIN}),
        values.login_kind,
        "normal|discovery|any",
        "logins of this kind of session",
        "any",
        lambda value, seen: value is None or seen.is_discovery is value,
    ),
    _where(
        "store",
        frozenset({Point.STORE}),
        values.segment_calls,
        "CALL[,CALL...]",
        "calls of the segments of the pool: read, write, flush, create. `any` is every call",
        "flush",
        lambda value, seen: value is None or seen.segment_call in value,
    ),
    _where(
        "segment",
        frozenset({Point.STORE}),
        values.number,
        "NUMBER",
        "the segment with this number",
        "3",
        lambda value, seen: value == seen.segment,
    ),
)
"""Conditions on the occurrence. All conditions of a rule must hold."""
