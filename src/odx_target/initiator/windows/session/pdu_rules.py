"""The rules of Windows for the bits in the PDU headers of a target (RFC 7143 11). For each kind of PDU, a mask of 48 bytes
marks the bits that must be 0.
"""

from odx_target.initiator.windows.rules import Rule
from odx_target.iscsi.pdu.layout import HEADER_BYTES
from odx_target.iscsi.pdu.opcodes import Opcode

_RESERVED: dict[Opcode, tuple[str, bool]] = {
    # operation code: the bits that must be 0, and True if the first bit of byte 1 must be 1
    Opcode.NOP_IN: (
        "C07FFFFF 00000000 0000000000000000 00000000 00000000 000000000000000000000000 FFFFFFFFFFFFFFFFFFFFFFFF",
        True,
    ),
    Opcode.SCSI_RESPONSE: (
        "C0610000 00000000 FFFFFFFFFFFFFFFF 00000000 00000000 000000000000000000000000 000000000000000000000000",
        True,
    ),
    Opcode.TASK_MANAGEMENT_FUNCTION_RESPONSE: (
        "C07F00FF 00000000 FFFFFFFFFFFFFFFF 00000000 FFFFFFFF 000000000000000000000000 FFFFFFFFFFFFFFFFFFFFFFFF",
        True,
    ),
    Opcode.LOGIN_RESPONSE: (
        "C0300000 00000000 0000000000000000 00000000 FFFFFFFF 000000000000000000000000 0000FFFFFFFFFFFFFFFFFFFF",
        False,
    ),
    Opcode.TEXT_RESPONSE: (
        "C03FFFFF 00000000 0000000000000000 00000000 00000000 000000000000000000000000 FFFFFFFFFFFFFFFFFFFFFFFF",
        False,
    ),
    Opcode.SCSI_DATA_IN: (
        "C038FF00 00000000 0000000000000000 00000000 00000000 000000000000000000000000 000000000000000000000000",
        False,
    ),
    Opcode.LOGOUT_RESPONSE: (
        "C07F00FF 00000000 FFFFFFFFFFFFFFFF 00000000 FFFFFFFF 000000000000000000000000 FFFFFFFF00000000FFFFFFFF",
        True,
    ),
    Opcode.READY_TO_TRANSFER: (
        "C07FFFFF 00000000 0000000000000000 00000000 00000000 000000000000000000000000 000000000000000000000000",
        True,
    ),
    Opcode.ASYNCHRONOUS_MESSAGE: (
        "C07FFFFF 00000000 0000000000000000 00000000 FFFFFFFF 000000000000000000000000 0000000000000000FFFFFFFF",
        True,
    ),
    Opcode.REJECT: (
        "C07F00FF 00000000 FFFFFFFFFFFFFFFF 00000000 FFFFFFFF 000000000000000000000000 00000000FFFFFFFFFFFFFFFF",
        True,
    ),
}

_MASKS = {int(opcode): (int.from_bytes(bytes.fromhex(text), "big"), begins) for opcode, (text, begins) in _RESERVED.items()}
OPCODE_BITS, FIRST_FLAG = 0x3F, 0x80


def judge_header(header: bytes) -> tuple[Rule, str] | None:
    """Check a header of 48 bytes. Returns the broken rule and a text with details, or None if no rule is broken.

    Counters and tags are not checked. An operation code that no target may send breaks Rule.UNKNOWN_OPCODE.
    """
    opcode = header[0] & OPCODE_BITS
    if opcode not in _MASKS:
        return Rule.UNKNOWN_OPCODE, f"{opcode:02X}h"
    if opcode == Opcode.READY_TO_TRANSFER and header[1] != FIRST_FLAG:
        return Rule.R2T_FLAGS, f"{header[1]:02X}h"
    mask, begins_with_one = _MASKS[opcode]
    if begins_with_one and not header[1] & FIRST_FLAG:
        return Rule.RESERVED_BITS, f"byte 1 of {Opcode(opcode).name} is {header[1]:02X}h"
    wrong = int.from_bytes(header, "big") & mask
    if not wrong:
        return None
    at = HEADER_BYTES - 1 - (wrong.bit_length() - 1) // 8
    return Rule.RESERVED_BITS, f"byte {at} of {Opcode(opcode).name} is {header[at]:02X}h"
