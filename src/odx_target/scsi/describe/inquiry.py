"""Version descriptors of standard INQUIRY data, as text (SPC-4 6.4.2 table 142)."""

from odx_target.scsi.commands.inquiry import STANDARD_INQUIRY_LAYOUT
from odx_target.scsi.pages.version_descriptors import STANDARDS

VERSION_DESCRIPTORS = 8
_REVISION_BITS = 0x1F


def claimed_standards(data: bytes) -> list[str]:
    """Return the standards that INQUIRY data claim, without revisions. An unknown standard is returned as its code."""
    fields = STANDARD_INQUIRY_LAYOUT.parse_prefix(data)
    codes = [fields.get(f"version_descriptor_{index}", 0) for index in range(1, VERSION_DESCRIPTORS + 1)]
    return [STANDARDS.get(code & ~_REVISION_BITS, f"{code:04x}h") for code in codes if code]
