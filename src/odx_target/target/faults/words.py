"""The words of fault rules: one table that parses, checks, documents and applies them.

A rule has words that say where it applies, when it fires, and which faults it then injects. The same words are the keys of a
table `[[fault]]` in the configuration, of the JSON of the control socket, and the KEY=VALUE arguments of `odx-target fault add`
and of `FaultRules.add`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from odx_target.target.faults import actions, values
from odx_target.target.faults.occurrence import Occurrence, Point

Matches: TypeAlias = Callable[[Any, Occurrence], bool]


class Kind(StrEnum):
    """The three parts of a rule."""

    WHERE = "where"
    WHEN = "when"
    FAULT = "what"


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a rule.

    `points` are the points at which the word has a meaning. `parse` checks and converts its value, and raises ConfigError.
    `matches` compares the converted value of a word of the kind WHERE with an occurrence. If `parse` is `values.flag`, the word
    needs no value.
    """

    key: str
    kind: Kind
    points: frozenset[Point]
    parse: Callable[[object], Any]
    form: str
    meaning: str
    example: str
    matches: Matches | None = None


_EVERYWHERE = frozenset(Point)
_NEXUS = frozenset({Point.COMMAND, Point.COPY, Point.PDU})
_COMMANDS = frozenset({Point.COMMAND, Point.COPY})
_PDU = frozenset({Point.PDU})
_DELAYED = frozenset({Point.COMMAND, Point.COPY, Point.PDU, Point.STORE})


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
        "write",
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


def _when(key: str, parse: Callable[[object], Any], form: str, meaning: str, example: str) -> Word:
    return Word(key, Kind.WHEN, _EVERYWHERE, parse, form, meaning, example)


WHEN: tuple[Word, ...] = (
    _when("nth", values.numbers, "N[,N...]", "only these occurrences, counted from 1", "3"),
    _when("first", values.count, "N", "only the first N occurrences", "2"),
    _when("every", values.count, "N", "every Nth occurrence", "10"),
    _when("times", values.count, "N", "at most N times", "1"),
    _when("probability", values.probability, "PERCENT", "with this probability, from the seed of the rules", "25%"),
    _when("after", values.duration, "TIME", "from this time on, counted from the addition of the rule", "10s"),
    _when("until", values.duration, "TIME", "until this time, counted from the addition of the rule", "60s"),
    _when("scenario", values.name, "NAME", "the scenario whose states the rule uses; default: `main`", "outage"),
    _when("state", values.name, "NAME", "only while the scenario is in this state. A scenario begins in `started`", "started"),
    _when("next-state", values.name, "NAME", "each hit moves the scenario to this state", "broken"),
)
"""Conditions on the number of the occurrence, on chance, on time, and on the state of a scenario."""


def _fault(key: str, points: frozenset[Point], parse: Callable[[object], Any], form: str, meaning: str, example: str) -> Word:
    return Word(key, Kind.FAULT, points, parse, form, meaning, example)


FAULTS: tuple[Word, ...] = (
    _fault(
        "sense",
        _COMMANDS,
        values.sense,
        "NAME|KEY/ASC/ASCQ",
        "CHECK CONDITION with this sense data: a name of the table below, or three hexadecimal numbers",
        "token-expired",
    ),
    _fault("status", frozenset({Point.COMMAND}), values.status, "NAME", "a status without sense data", "task-set-full"),
    _fault(
        "error",
        _COMMANDS,
        values.store_error,
        "NAME",
        "an error of the pool, which the array reports as if it were real: pool-full, pool-busy, out-of-resources, "
        "damaged-block, unreadable, unwritable, refused",
        "pool-full",
    ),
    _fault(
        "delay",
        _DELAYED,
        values.duration,
        "TIME",
        "a pause before the command, the step, the PDU or the call. Writes of segments do not wait",
        "200ms",
    ),
    _fault("jitter", _DELAYED, values.duration, "TIME", "a further pause of up to this length, by chance", "50ms"),
    _fault(
        "hold",
        frozenset({Point.COMMAND, Point.COPY, Point.PDU}),
        values.flag,
        "",
        "a pause until the rule is released, disabled or removed. The progress of a copy then stands still",
        "",
    ),
    _fault(
        "drop",
        frozenset({Point.COMMAND, Point.PDU}),
        values.flag,
        "",
        "the command is executed, but never answered; or the PDU is lost",
        "",
    ),
    _fault(
        "transfer",
        frozenset({Point.COMMAND}),
        values.part,
        "BYTES|PERCENT",
        "a read returns only this part of its data, and the residual count shows it",
        "50%",
    ),
    _fault(
        "partial",
        frozenset({Point.COPY}),
        values.flag,
        "",
        "the copy ends with the blocks that it has written so far, as if its time were up",
        "",
    ),
    _fault(
        "tokens",
        _COMMANDS,
        values.choice(actions.TokenFate),
        "expire|lose|revoke|cancel",
        "the fate of all tokens of the array; `lose` also forgets why they ended",
        "expire",
    ),
    _fault(
        "close",
        frozenset({Point.COMMAND, Point.COPY, Point.PDU}),
        values.flag,
        "",
        "the connection ends at once, without an answer",
        "",
    ),
    _fault(
        "restart", frozenset({Point.COMMAND, Point.COPY, Point.PDU}), values.flag, "", "the array restarts in the middle", ""
    ),
    _fault("cut", _PDU, values.number, "BYTES", "the connection ends after this number of bytes of the PDU", "20"),
    _fault("stall", _PDU, values.number, "BYTES", "after this number of bytes of the PDU, nothing more is sent", "60"),
    _fault("truncate", _PDU, values.number, "BYTES", "only this number of bytes of the PDU is sent", "40"),
    _fault(
        "corrupt",
        _PDU,
        values.number,
        "BYTE",
        "the bits of this byte of the PDU are inverted, after its digests were computed",
        "50",
    ),
    _fault("duplicate", _PDU, values.count, "N", "N further copies of the PDU follow", "1"),
    _fault("reorder", _PDU, values.flag, "", "the PDU is sent after the next one", ""),
    _fault(
        "digest", _PDU, values.choice(actions.Digest), "header|data", "this digest is wrong, if the session uses it", "data"
    ),
    _fault(
        "set",
        _PDU,
        values.fields,
        "FIELD:NUMBER[,...]",
        "these fields of the header have these values. The names are those of `odx-target decode`",
        "data_segment_length:16777215",
    ),
    _fault(
        "text",
        _PDU,
        values.text,
        "TEXT",
        "the data segment is this text. `\\0` is a zero byte, and `{A*1000}` is repeated text",
        "TargetName=../../etc\\0",
    ),
    _fault("refuse", frozenset({Point.LOGIN}), values.login_status, "NAME", "the login ends with this status", "target-error"),
    _fault(
        "redirect",
        frozenset({Point.LOGIN}),
        values.address,
        "HOST:PORT",
        "the login is redirected to this address",
        "192.0.2.1:3260",
    ),
    _fault("errno", frozenset({Point.STORE}), values.error_number, "NAME", "the call fails with this error", "EIO"),
)
"""The faults. A rule may inject several of them."""

WORDS: dict[str, Word] = {word.key: word for word in (*WHERE, *WHEN, *FAULTS)}
"""All words by their key."""
