"""The words that say which faults a rule injects."""

from collections.abc import Callable
from typing import Any

from odx_target.target.faults import actions, values
from odx_target.target.faults.occurrence import Point
from odx_target.target.faults.words.word import Kind, Word

_COMMANDS = frozenset({Point.COMMAND, Point.COPY})
_PDU = frozenset({Point.PDU})
_DELAYED = frozenset({Point.COMMAND, Point.COPY, Point.PDU, Point.STORE})


def _fault(key: str, points: frozenset[Point], parse: Callable[[object], Any], form: str, meaning: str, example: str) -> Word:
    return Word(key, Kind.FAULT, points, parse, form, meaning, example)


FAULTS: tuple[Word, ...] = (
    _fault(
        "sense",
        _COMMANDS,
        values.sense,
        "[KEY/]NAME|KEY/ASC/ASCQ",
        "CHECK CONDITION with this sense data: a name of the table below, a sense key and any name of SPC-4, or three "
        "hexadecimal numbers",
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
        "a pause before the command, the step, the PDU or the call. A disk is slow in `store=read` and `store=flush`",
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
        "immediate",
        frozenset({Point.COMMAND}),
        values.flag,
        "",
        "POPULATE TOKEN and WRITE USING TOKEN are executed as if IMMED were 1: they are answered before their work is done",
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
