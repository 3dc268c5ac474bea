"""Commands that show the limits of a personality on the wire."""

from typing import NamedTuple

from odx_target.initiator import cdb
from odx_target.initiator.copying.token_commands import (
    BlockRange,
    CopyOperation,
    populate_token_list,
    read_rod_token_information,
    write_using_token_list,
)
from odx_target.initiator.result import CommandResult
from odx_target.initiator.sense import read_sense
from odx_target.testing import Host, RunningArray

GOOD = "GOOD"
INVALID_OPERATION_CODE = "5/20/00"
TOKEN_UNKNOWN = "5/23/04"
INVALID_FIELD_IN_CDB = "5/24/00"
INVALID_FIELD_IN_LIST = "5/26/00"
TOO_MANY_DESCRIPTORS = "5/26/08"

LIST_IDENTIFIER = 7


class Wire(NamedTuple):
    """An array with a personality, and a host that sends commands to its first LUN."""

    array: RunningArray
    host: Host

    def ends(self, command: bytes, data: bytes = b"", data_in_bytes: int = 0) -> str:
        """Send a command, and return GOOD or its sense data."""
        return _words(self.host.execute("a", command, data, data_in_bytes))

    def reads(self, command: bytes, size_bytes: int = 1024) -> bytes:
        """Send a command, and return its data."""
        result = self.host.execute("a", command, data_in_bytes=size_bytes)
        assert _words(result) == GOOD
        return bytes(result.data_in)

    def page(self, code: int) -> bytes:
        """Return the body of a VPD page."""
        return self.reads(cdb.inquiry(1024, code))[4:]

    def identity(self) -> str:
        """Return vendor, product and revision."""
        return self.reads(cdb.inquiry(96), 96)[8:36].decode()

    def token_limits(self) -> tuple[int, int, int]:
        """Return MAXIMUM RANGE DESCRIPTORS, and MAXIMUM TOKEN TRANSFER SIZE and OPTIMAL TRANSFER COUNT in blocks."""
        page = self.page(0x8F)
        return int.from_bytes(page[10:12], "big"), int.from_bytes(page[20:28], "big"), int.from_bytes(page[28:36], "big")

    def populate(self, *ranges: tuple[int, int], rod_type: int | None = None) -> str:
        """Send POPULATE TOKEN for ranges of (LBA, number of blocks), and return its end."""
        data = populate_token_list([BlockRange(*each) for each in ranges], rod_type=rod_type)
        return self.ends(cdb.populate_token(LIST_IDENTIFIER, len(data)), data)

    def result(self) -> CopyOperation:
        """Return the result of `populate`."""
        return read_rod_token_information(self.reads(cdb.receive_rod_token_information(LIST_IDENTIFIER, 1024)))

    def write_using(self, token: bytes, lba: int = 0, count_blocks: int = 1) -> str:
        """Send WRITE USING TOKEN, and return its end."""
        data = write_using_token_list(token, [BlockRange(lba, count_blocks)])
        return self.ends(cdb.write_using_token(LIST_IDENTIFIER + 1, len(data)), data)

    def supports(self, operation_code: int) -> bool:
        """True if REPORT SUPPORTED OPERATION CODES reports a command without a service action as supported."""
        report = self.reads(cdb.report_supported_operation_code(operation_code, 64), 64)
        return report[1] & 7 == 3


def _words(result: CommandResult) -> str:
    sense = read_sense(result.sense) if result.sense else None
    return GOOD if sense is None else f"{sense.key:X}/{sense.code[0]:02X}/{sense.code[1]:02X}"
