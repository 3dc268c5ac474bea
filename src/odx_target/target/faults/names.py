"""The names that values of rules may have: commands, PDUs, statuses, sense data and errors, as the standards name them."""

import difflib
import re
from collections.abc import Iterable
from functools import cache

from odx_target.copymgr.commands.parameter_lists import COPY_CDBS
from odx_target.iscsi.pdu.opcodes import LoginStatus, Opcode
from odx_target.scsi import sense
from odx_target.scsi.cdb.table import CDB_LAYOUTS
from odx_target.scsi.command_table import CommandCode
from odx_target.scsi.reply import Status
from odx_target.scsi.sense import Condition, SenseKey


def plain(text: str) -> str:
    """Return a name in lower case, with its words joined by hyphens: "WRITE USING TOKEN" and "write_using_token" are equal."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def nearest(wrong: str, known: Iterable[str]) -> str:
    """Return the end of an error message: the known name that is most similar to a wrong one, or else the known names."""
    names = list(known)
    found = difflib.get_close_matches(wrong, names, 1, 0.5)
    if found:
        return f"did you mean {found[0]}?"
    return f"known are {', '.join(names)}" if len(", ".join(names)) < 400 else f"there are {len(names)} names"


_COMMAND_CODES: dict[str, CommandCode] = {
    **{plain(row.name): code for code, row in CDB_LAYOUTS.items()},
    **{plain(name): (operation_code, int(action)) for action, operation_code, name, _ in COPY_CDBS},
}


def _families() -> dict[str, frozenset[CommandCode]]:
    """Return the codes of each name, and of each name without its length or its service action."""
    found: dict[str, set[CommandCode]] = {}
    for name, code in _COMMAND_CODES.items():
        found.setdefault(name, set()).add(code)
        family = re.sub(r"-(6|10|12|16|32|lid1|lid4)$", "", name)
        if family not in _COMMAND_CODES:
            found.setdefault(family, set()).add(code)
    for (operation_code, action), row in CDB_LAYOUTS.items():
        if action is not None and "," in row.name:  # such as PERSISTENT RESERVE OUT, REGISTER
            found.setdefault(plain(row.name.partition(",")[0]), set()).add((operation_code, action))
    return {name: frozenset(codes) for name, codes in found.items()}


COMMANDS: dict[str, frozenset[CommandCode]] = _families()
"""Operation codes and service actions by the names of commands."""

WITH_SERVICE_ACTION: frozenset[int] = frozenset(code for code, action in _COMMAND_CODES.values() if action is not None)
"""Operation codes whose commands have a service action."""

TRANSFER_COMMANDS: frozenset[CommandCode] = frozenset({(0x28, None), (0x2A, None), (0x88, None), (0x8A, None)})
"""The reads and writes that the short lane executes."""

PDUS: dict[str, Opcode] = {plain(opcode.name): opcode for opcode in Opcode} | {
    "r2t": Opcode.READY_TO_TRANSFER,
    "data-in": Opcode.SCSI_DATA_IN,
    "data-out": Opcode.SCSI_DATA_OUT,
}
"""Operation codes of PDUs by their names, and by the short names of the standard."""

STATUSES: dict[str, Status] = {plain(status.name): status for status in Status if status is not Status.CHECK_CONDITION}

LOGIN_STATUSES: dict[str, LoginStatus] = {
    plain(status.name): status for status in LoginStatus if status is not LoginStatus.SUCCESS
}

SENSE: dict[str, Condition] = {plain(name): value for name, value in vars(sense).items() if isinstance(value, Condition)}
"""The sense data that the array itself sends, by its names in this program."""

SENSE_KEYS: dict[str, SenseKey] = {plain(key.name): key for key in SenseKey}


@cache
def sense_codes() -> dict[str, tuple[int, int]]:
    """Return all additional sense codes with their qualifiers by their meanings in SPC-4, which assigns no sense keys to them.

    Few arrays need them, so they are loaded only then.
    """
    from odx_target.scsi.additional_sense import MEANINGS

    return {plain(meaning): code for code, meaning in MEANINGS.items()}


def command_code(cdb: bytes) -> CommandCode:
    """Return the operation code and the service action of a CDB."""
    return cdb[0], cdb[1] & 0x1F if cdb[0] in WITH_SERVICE_ACTION else None
