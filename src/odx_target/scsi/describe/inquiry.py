"""The version descriptors in standard INQUIRY data, as text (SPC-4 6.4.2 table 142)."""

from odx_target.scsi.commands.inquiry import StandardInquiryData
from odx_target.scsi.pages.version_descriptors import STANDARDS

VERSION_DESCRIPTOR_BYTES = 2
_REVISION_BITS = 0x1F


def claimed_standards(data: bytes) -> list[str]:
    """Return the names of the standards that INQUIRY data claims. The names do not include revisions.

    For a standard that is not known here, the code is returned instead of a name.
    """
    whole_bytes = len(data) - len(data) % VERSION_DESCRIPTOR_BYTES
    codes = StandardInquiryData.parse_cut(data[:whole_bytes]).version_descriptors
    return [STANDARDS.get(code & ~_REVISION_BITS, f"{code:04x}h") for code in codes if code]
