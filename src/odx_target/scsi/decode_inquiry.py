"""Version descriptors of standard INQUIRY data in words (SPC-4 6.4.2 table 142)."""

from odx_target.scsi.inquiry import ISCSI, SAM_5, SBC_3, SPC_4, STANDARD_INQUIRY_LAYOUT

VERSION_DESCRIPTORS = 8
_REVISION_BITS = 0x1F
_STANDARDS = {
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
"""By version descriptor without the bits that tell the revision."""


def claimed_standards(data: bytes) -> list[str]:
    """The standards that standard INQUIRY data claim, without their revisions; those not known here by their code."""
    fields = STANDARD_INQUIRY_LAYOUT.parse_prefix(data)
    codes = [fields.get(f"version_descriptor_{index}", 0) for index in range(1, VERSION_DESCRIPTORS + 1)]
    return [_STANDARDS.get(code & ~_REVISION_BITS, f"{code:04x}h") for code in codes if code]
