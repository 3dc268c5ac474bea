"""The journal of `esxi-copy` as lines of text, in the form of `serve --trace`."""

from collections.abc import Callable
from dataclasses import dataclass

from odx_target.cli.hosts.esxi.report import work_words
from odx_target.cli.text.command_words import READS, TOKEN_OUT, WRITES, command_words, end_words
from odx_target.cli.text.sizes import size
from odx_target.initiator.esxi.host import Entry, Exchange, PieceDone, Remark
from odx_target.initiator.esxi.rules import Finding
from odx_target.initiator.result import Status

INDENT = " " * 10
SHOWN_BYTES = 2048
"""Maximum length of the data that is shown."""
EXTENDED_COPY, WRITE_SAME_16 = (0x83, 0x00), 0x93


@dataclass(slots=True)
class JournalPrinter:
    """Prints entries as lines. Unless `with_all` is True, commands of the data mover are printed only if they failed, and
    consecutive pieces with the same numbers of commands are printed as one line.

    `show` is called with each line. The caller must call `finish` at the end.
    """

    show: Callable[[str], None]
    began_s: float = 0.0
    with_all: bool = False
    _first: PieceDone | None = None
    _last: PieceDone | None = None

    def tell(self, entry: Entry) -> None:
        if isinstance(entry, PieceDone):
            self._add_piece(entry)
            return
        if isinstance(entry, Exchange) and not self.with_all and _is_routine(entry):
            return
        self.finish()
        if isinstance(entry, Exchange):
            self._show_exchange(entry)
        elif isinstance(entry, Remark):
            self._show(entry.at_s, f"{entry.disk} {entry.what}")
        else:
            self._show_finding(entry)

    def finish(self) -> None:
        """Show the pieces that were not shown yet."""
        first, last = self._first, self._last
        self._first = self._last = None
        if first is None or last is None:
            return
        words = f"of {size(first.size_bytes)}: {work_words(first.work)}"
        if first is last:
            self._show(last.at_s, f"piece {first.number} {words}")
        else:
            self._show(last.at_s, f"pieces {first.number} to {last.number} {words} each")

    def _add_piece(self, piece: PieceDone) -> None:
        first = self._first
        if first is None or (first.size_bytes, first.work) != (piece.size_bytes, piece.work):
            self.finish()
            self._first = piece
        self._last = piece

    def _show_exchange(self, exchange: Exchange) -> None:
        data = b"".join(bytes(part) for part in exchange.data_out) if exchange.cdb[0] not in WRITES else b""
        words = command_words(exchange.cdb, data, all_fields=self.with_all)
        result = exchange.result
        end = exchange.fault if result is None else end_words(exchange.cdb, result, all_fields=self.with_all)
        self._show(exchange.at_s, f"{exchange.disk} {words} -> {end}")
        if not self.with_all:
            return
        self.show(f"{INDENT} CDB  {exchange.cdb.hex(' ')}")
        if data and exchange.cdb[0] == TOKEN_OUT:
            self.show(f"{INDENT} list {_short(data)}")
        if result is not None and len(result.data_in) and exchange.cdb[0] not in READS:
            self.show(f"{INDENT} data {_short(bytes(result.data_in))}")
        if result is not None and result.sense:
            self.show(f"{INDENT} sense {_short(bytes(result.sense))}")

    def _show_finding(self, finding: Finding) -> None:
        self.show(f"{INDENT} *** {finding.rule.weight.value}: {finding}")

    def _show(self, at_s: float, words: str) -> None:
        self.show(f"{at_s - self.began_s:8.3f} s {words}")


def _is_routine(exchange: Exchange) -> bool:
    """True if an exchange is a successful command of the data mover."""
    is_mover = exchange.cdb[0] in (*READS, *WRITES, WRITE_SAME_16) or (exchange.cdb[0], exchange.cdb[1]) == EXTENDED_COPY
    return is_mover and exchange.result is not None and exchange.result.status == Status.GOOD


def _short(data: bytes) -> str:
    rest = f" .. {len(data)} bytes" if len(data) > SHOWN_BYTES else ""
    return data[:SHOWN_BYTES].hex(" ") + rest
