"""Codes of standards in version descriptors (SPC-4 6.4.2 table 142), and the standards that the array claims.

The codes do not include revisions. The array claims a standard only if it supports all commands that the standard makes
mandatory for a direct access block device.
"""

SAM_5, SPC_4, SBC_3, ISCSI = 0x00A0, 0x0460, 0x04C0, 0x0960

STANDARDS = {
    0x0040: "SAM-2",
    0x0060: "SAM-3",
    0x0080: "SAM-4",
    SAM_5: "SAM-5",
    0x0260: "SPC-2",
    0x0300: "SPC-3",
    SPC_4: "SPC-4",
    0x05C0: "SPC-5",
    0x0320: "SBC-2",
    SBC_3: "SBC-3",
    0x0600: "SBC-4",
    ISCSI: "iSCSI",
}

MANDATORY_OPERATION_CODES: dict[int, frozenset[int]] = {
    # TEST UNIT READY, INQUIRY, REPORT LUNS
    SPC_4: frozenset({0x00, 0x12, 0xA0}),
    # those of SPC-4, and REQUEST SENSE, FORMAT UNIT, SEND DIAGNOSTIC, READ CAPACITY(10), READ(10), READ(16), READ CAPACITY(16)
    SBC_3: frozenset({0x00, 0x12, 0xA0, 0x03, 0x04, 0x1D, 0x25, 0x28, 0x88, 0x9E}),
}
"""Operation codes of the commands that each standard makes mandatory. SAM-5 and iSCSI are not listed, because they define no
commands."""

CLAIMED = (SAM_5, SPC_4, SBC_3, ISCSI)
"""Standards that the array claims in standard INQUIRY data."""
