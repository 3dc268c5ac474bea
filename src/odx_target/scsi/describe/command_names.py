"""Names of commands that this array does not support (SPC-4 6.1, SBC-3 5.1). The fields of these commands are not described.

Hosts send these commands to find out if a target supports them.
"""

from odx_target.scsi.command_table import SERVICE_ACTION_BITS

VARIABLE_LENGTH = 0x7F
"""Operation code of CDBs with a variable length. The service action of these CDBs is in bytes 8 and 9 (SPC-4 4.2.3)."""

COMMAND_NAMES: dict[tuple[int, int | None], str] = {
    # Names by (operation code, service action). The service action is None if the command has no service action, or if the name
    # is for all other service actions.
    (0x07, None): "REASSIGN BLOCKS",
    (0x1E, None): "PREVENT ALLOW MEDIUM REMOVAL",
    (0x3E, None): "READ LONG(10)",
    (0x3F, None): "WRITE LONG(10)",
    (0x43, None): "READ TOC/PMA/ATIP",
    (0x46, None): "GET CONFIGURATION",
    (0x48, None): "SANITIZE",
    (0x4A, None): "GET EVENT STATUS NOTIFICATION",
    (0x4C, None): "LOG SELECT",
    (0x50, None): "XDWRITE(10)",
    (0x51, None): "XPWRITE(10)",
    (0x52, None): "XDREAD(10)",
    (0x53, None): "XDWRITEREAD(10)",
    (0x5E, None): "PERSISTENT RESERVE IN",
    (0x5F, None): "PERSISTENT RESERVE OUT",
    (VARIABLE_LENGTH, 0x0009): "READ(32)",
    (VARIABLE_LENGTH, 0x000A): "VERIFY(32)",
    (VARIABLE_LENGTH, 0x000B): "WRITE(32)",
    (VARIABLE_LENGTH, 0x000C): "WRITE AND VERIFY(32)",
    (VARIABLE_LENGTH, 0x000D): "WRITE SAME(32)",
    (VARIABLE_LENGTH, 0x000E): "ORWRITE(32)",
    (VARIABLE_LENGTH, None): "variable length command",
    (0x85, None): "ATA PASS-THROUGH(16)",
    (0x86, None): "ACCESS CONTROL IN",
    (0x87, None): "ACCESS CONTROL OUT",
    (0x8C, None): "READ ATTRIBUTE",
    (0x8D, None): "WRITE ATTRIBUTE",
    (0x94, None): "ZBC OUT",
    (0x95, None): "ZBC IN",
    (0x9E, 0x11): "READ LONG(16)",
    (0x9E, 0x13): "REPORT REFERRALS",
    (0x9E, 0x14): "STREAM CONTROL",
    (0x9E, 0x15): "BACKGROUND CONTROL",
    (0x9E, 0x16): "GET STREAM STATUS",
    (0x9F, 0x11): "WRITE LONG(16)",
    (0xA1, None): "ATA PASS-THROUGH(12)",
    (0xA2, None): "SECURITY PROTOCOL IN",
    (0xA3, 0x0B): "REPORT ALIASES",
    (0xA3, 0x0E): "REPORT PRIORITY",
    (0xA3, 0x10): "MANAGEMENT PROTOCOL IN",
    (0xA3, None): "MAINTENANCE IN",
    (0xA4, 0x0B): "CHANGE ALIASES",
    (0xA4, 0x0E): "SET PRIORITY",
    (0xA4, 0x10): "MANAGEMENT PROTOCOL OUT",
    (0xA4, None): "MAINTENANCE OUT",
    (0xB5, None): "SECURITY PROTOCOL OUT",
}


def command_name(cdb: bytes, names: dict[tuple[int, int | None], str]) -> str | None:
    """Return the name of the command in a CDB. Return None if `names` does not contain the command."""
    is_long = cdb[0] == VARIABLE_LENGTH
    action = int.from_bytes(cdb[8:10], "big") if is_long else int.from_bytes(cdb[1:2], "big") & SERVICE_ACTION_BITS
    return names.get((cdb[0], action)) or names.get((cdb[0], None))
