"""Sentences that explain why a copy command was refused or fell short: the rule, the clause of the standard, and the remedy."""

from collections.abc import Mapping
from typing import NamedTuple

from odx_target.copymgr.commands.parameter_lists import COPY_CDBS, Lid1Receive, ServiceAction
from odx_target.copymgr.refusal import INJECTED, MISSING, RESERVED

CLAUSES: dict[str, str] = {
    ServiceAction.EXTENDED_COPY_LID1.name: "SPC-4 6.4",
    ServiceAction.EXTENDED_COPY_LID4.name: "SPC-4 6.4",
    ServiceAction.POPULATE_TOKEN.name: "SBC-4 5.24",
    ServiceAction.WRITE_USING_TOKEN.name: "SBC-4 5.55",
    ServiceAction.COPY_OPERATION_ABORT.name: "SPC-4 6.3",
    ServiceAction.RECEIVE_COPY_STATUS_LID4.name: "SPC-4 6.24",
    ServiceAction.RECEIVE_ROD_TOKEN_INFORMATION.name: "SPC-4 6.28",
    ServiceAction.REPORT_ALL_ROD_TOKENS.name: "SPC-4 6.37",
    Lid1Receive.RECEIVE_COPY_STATUS_LID1.name: "SPC-4 6.17",
    Lid1Receive.RECEIVE_COPY_OPERATING_PARAMETERS.name: "SPC-4 6.18",
    Lid1Receive.RECEIVE_COPY_FAILURE_DETAILS_LID1.name: "SPC-4 6.16",
}
"""The clause of each command."""

NAMES = {action.name: name for action, _, name, _ in COPY_CDBS}
"""The name of each command in the standards."""

LIMITS_PAGE = "SPC-4 7.8.17"
TOKENS = "SPC-4 5.16.6"


class Remedy(NamedTuple):
    """A change that lets the command succeed, and the clause of the limit if it is not that of the command."""

    change: str
    clause: str = ""


REMEDIES_OF_LIMITS: dict[str, Remedy] = {
    "MAXIMUM RANGE DESCRIPTORS": Remedy("Send fewer ranges in one command; VPD page 8Fh reports the limit", LIMITS_PAGE),
    "MAXIMUM TOKEN TRANSFER SIZE": Remedy("Copy less with one command; VPD page 8Fh reports the limit", LIMITS_PAGE),
    "MAXIMUM TRANSFER LENGTH": Remedy("Use shorter ranges; VPD page B0h reports the limit", "SBC-4 6.6"),
    "MAXIMUM INACTIVITY TIMEOUT": Remedy("Request a shorter lifetime, or 0 for the default of the array", LIMITS_PAGE),
    "bytes represented": Remedy("Begin and end the copy inside the data that the token represents", TOKENS),
    "capacity in blocks": Remedy("Read the capacity of the LUN again; it may have changed"),
    "seconds for a command": Remedy("Ask for the rest in a further command, from the end of the copied blocks"),
    "bytes of a block": Remedy("Keep the byte offset of the destination inside its first block"),
    "bytes received": Remedy("Send as many bytes as the CDB announces"),
    "TOTAL CONCURRENT COPIES": Remedy("Wait until other copies have ended, and send the command again"),
    "MAX_RECORDS_PER_NEXUS": Remedy("Fetch the results of earlier copies, so that their records can be dropped"),
    "MAX_TOKENS": Remedy("Delete tokens after their use (DEL_TKN), or request shorter lifetimes"),
    "MAXIMUM DESCRIPTOR LIST LENGTH": Remedy("Send fewer descriptors; RECEIVE COPY OPERATING PARAMETERS reports the limit"),
    "MAXIMUM CSCD DESCRIPTOR COUNT": Remedy("Send fewer CSCD descriptors; RECEIVE COPY OPERATING PARAMETERS reports the limit"),
    "MAXIMUM SEGMENT DESCRIPTOR COUNT": Remedy("Send fewer segments; RECEIVE COPY OPERATING PARAMETERS reports the limit"),
    "MAXIMUM SEGMENT LENGTH": Remedy("Use shorter segments; RECEIVE COPY OPERATING PARAMETERS reports the limit"),
    "MAXIMUM INLINE DATA LENGTH": Remedy("Send no inline data; RECEIVE COPY OPERATING PARAMETERS reports the limit"),
}
"""Remedies by the name of the limit."""

REMEDIES_OF_CODES: dict[str, Remedy] = {
    "5/23/00": Remedy("Ask the owner of the array for the cause, or serve with token causes reported", TOKENS),
    "5/23/01": Remedy("Use a token that POPULATE TOKEN of this array made", TOKENS),
    "5/23/02": Remedy("Use the token at the array that made it", TOKENS),
    "5/23/03": Remedy("Send POPULATE TOKEN to the array that holds the blocks", TOKENS),
    "5/23/04": Remedy("Make a new token; this one is from before a restart, or ended long ago", TOKENS),
    "5/23/05": Remedy("Send the 512 bytes of the token unchanged", TOKENS),
    "5/23/06": Remedy("Make a new token; the owner of the array has revoked this one", TOKENS),
    "5/23/07": Remedy("Use the token before its inactivity timeout, or request a longer one", TOKENS),
    "5/23/08": Remedy("Make a new token after the change of the source, or request a point in time copy", TOKENS),
    "5/23/09": Remedy("Make a new token; an earlier command has deleted this one", TOKENS),
    "5/23/0A": Remedy("Set the length field of the token to 01F8h", TOKENS),
    "5/00/16": Remedy("Use another list identifier, or wait until the operation has ended", "SPC-4 5.16.4"),
    "5/55/03": Remedy("Copy by reads and writes for a while, and then try the offload again"),
    "B/55/03": Remedy("Wait a moment, and send the command again"),
    "5/26/00": Remedy("Correct the field of the parameter list"),
    "5/24/00": Remedy("Correct the field of the CDB"),
    "5/1A/00": Remedy("Correct the length of the parameter list"),
    "5/21/00": Remedy("Read the capacity of the LUN again; it may have changed"),
    "7/27/00": Remedy("Make the LUN writable, or choose another destination"),
    "7/27/07": Remedy("Free room in the pool, and send the command again"),
}
"""Remedies by sense key, additional sense code and qualifier, for refusals without a limit."""


REMEDIES_OF_RULES: dict[str, Remedy] = {
    INJECTED: Remedy("Disable or remove the fault rule"),
    MISSING: Remedy("Copy by reads and writes, or serve with a personality that has the command", "SPC-4 6.35"),
    RESERVED: Remedy("Release the reservation, or register this host too", "SPC-4 5.13.1"),
}
"""Remedies by the rule, which decide before limits and codes."""

_REMEDIES = (("rule", REMEDIES_OF_RULES), ("limit", REMEDIES_OF_LIMITS), ("code", REMEDIES_OF_CODES))


def remedy_for(entry: Mapping[str, object]) -> Remedy | None:
    """Return the remedy for a refusal of `RefusalLog`. Returns None if no remedy is known."""
    found = (remedies.get(str(entry.get(key, ""))) for key, remedies in _REMEDIES)
    return next((remedy for remedy in found if remedy is not None), None)


def sentence(entry: Mapping[str, object]) -> str:
    """Explain a refusal of `RefusalLog` in one line."""
    remedy = remedy_for(entry)
    clauses = dict.fromkeys(each for each in (CLAUSES.get(str(entry["command"]), ""), remedy.clause if remedy else "") if each)
    source = ", ".join((str(entry.get("code", "")), *clauses))
    ending = f". {remedy.change}." if remedy else "."
    return f"{_event(entry)}: {_reason(entry)} [{source}]{ending}"


def _event(entry: Mapping[str, object]) -> str:
    command = NAMES[str(entry["command"])]
    who = f"{command} of {entry['initiator']} to LUN {entry['lun']}"
    where = " in the background" if entry.get("in_background") else ""
    if entry["done_bytes"]:
        return f"{who} copied only {entry['done_bytes']} of {entry['requested_bytes']} bytes{where}"
    return f"{who} failed{where}" if where else f"{who} was refused"


def _reason(entry: Mapping[str, object]) -> str:
    words = str(entry.get("rule") or entry["condition"])
    details = []
    if "field" in entry and "value" in entry:
        details.append(f"{entry['field']} is {entry['value']}")
    elif "field" in entry:
        details.append(str(entry["field"]))
    elif "value" in entry:
        details.append(f"{entry['value']} requested")
    if "limit" in entry:
        details.append(f"{entry['limit']} is {entry['allowed']}" if "allowed" in entry else str(entry["limit"]))
    return f"{words} ({', '.join(details)})" if details else words
