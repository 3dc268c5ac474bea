"""Describe CDBs, sense data and VPD pages. No target is needed.

Each function takes bytes and returns rows of text (`Row`). Other packages add their own formats to a `Descriptions` object. For
example, the copy manager adds its commands and its VPD page. The functions raise ValueError for invalid input. If the input is
truncated, they describe only the complete fields.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from odx_target.scsi.cdb.table import CDB_LAYOUTS, CdbLayout
from odx_target.scsi.command_table import SERVICE_ACTION_BITS
from odx_target.scsi.describe.command_names import COMMAND_NAMES, command_name
from odx_target.scsi.describe.rows import Row, layout_rows, raw_row
from odx_target.scsi.describe.sense import sense_rows
from odx_target.scsi.layout import Layout
from odx_target.scsi.pages import vital_product_data as vpd

DescribePage = Callable[[bytes], list[Row]]


@dataclass(frozen=True, slots=True)
class PageDescription:
    """The name of a VPD page, and the function that describes the body of the page (the bytes after the header)."""

    name: str
    describe: DescribePage


@dataclass(slots=True)
class Descriptions:
    """All formats that can be described. A new object contains the formats of this package."""

    cdbs: dict[tuple[int, int | None], CdbLayout] = field(default_factory=lambda: dict(CDB_LAYOUTS))
    vpd_pages: dict[int, PageDescription] = field(default_factory=lambda: dict(VPD_PAGES))
    names: dict[tuple[int, int | None], str] = field(default_factory=lambda: dict(COMMAND_NAMES))

    def add_cdb(self, operation_code: int, service_action: int | None, name: str, layout: type[Layout]) -> None:
        """Add a command. `layout` covers the whole CDB, from the operation code to CONTROL."""
        self.cdbs[operation_code, service_action] = CdbLayout(name, layout)

    def add_name(self, operation_code: int, service_action: int | None, name: str) -> None:
        """Add a command by name only.

        If `service_action` is None, the name is used for all service actions that have no name of their own.
        """
        self.names[operation_code, service_action] = name

    def add_vpd_page(self, page_code: int, name: str, describe: DescribePage) -> None:
        """Add a VPD page."""
        self.vpd_pages[page_code] = PageDescription(name, describe)


def describe_cdb(cdb: bytes, descriptions: Descriptions | None = None) -> list[Row]:
    """Describe a CDB. The first row is the name of the command; each further row is a field.

    Raises ValueError for an empty CDB.
    """
    if not cdb:
        raise ValueError("a CDB has at least one byte")
    descriptions = descriptions or Descriptions()
    known = find_cdb(cdb, descriptions.cdbs)
    if known is None:
        name = command_name(cdb, descriptions.names) or "unknown"
        return [Row("command", name), Row("operation_code", f"{cdb[0]:#04x}"), raw_row("cdb", cdb)]
    rows = [Row("command", known.name), *layout_rows(known.layout, cdb)]
    size_bytes = known.layout.size_bytes
    if len(cdb) < size_bytes:
        rows.append(Row("missing", str(size_bytes - len(cdb)), "bytes to the end of the CDB"))
    if any(cdb[size_bytes:]):
        rows.append(raw_row("behind_the_cdb", cdb[size_bytes:]))
    return rows


def find_cdb(cdb: bytes, cdbs: dict[tuple[int, int | None], CdbLayout]) -> CdbLayout | None:
    """Return the name and the layout of the command in a CDB. Return None if `cdbs` does not contain the command."""
    service_action = cdb[1] & SERVICE_ACTION_BITS if len(cdb) > 1 else None
    return cdbs.get((cdb[0], None)) or cdbs.get((cdb[0], service_action))


def describe_sense(sense: bytes) -> list[Row]:
    """Describe sense data in fixed or descriptor format. Raises ValueError for any other format."""
    return sense_rows(sense)


def describe_vpd(page: bytes, descriptions: Descriptions | None = None) -> list[Row]:
    """Describe a VPD page including its header. Raises ValueError if `page` is shorter than a header."""
    header = vpd.VpdPageHeader.parse(page)
    body = page[vpd.VpdPageHeader.size_bytes :][: header.page_length]
    pages = (descriptions or Descriptions()).vpd_pages
    known = pages.get(header.page_code)
    rows = [Row("page", known.name if known else "unknown"), *layout_rows(vpd.VpdPageHeader, page)]
    if header.page_code == vpd.SUPPORTED_PAGES:
        rows += [Row("supported_page", f"{code:#04x}", pages[code].name if code in pages else "unknown") for code in body]
    else:
        rows += known.describe(body) if known else [raw_row("page_body", body)]
    missing = header.page_length - len(body)
    if missing:
        rows.append(Row("missing", str(missing), "bytes to the end of the page"))
    return rows


def _serial_number(body: bytes) -> list[Row]:
    return [Row("product_serial_number", body.decode("ascii", "backslashreplace"))]


_ASSOCIATIONS = {0: "the logical unit", 1: "the target port", 2: "the target device"}
_DESIGNATOR_TYPES = {
    0: "vendor specific",
    1: "T10 vendor identification",
    2: "EUI-64",
    3: "NAA",
    4: "relative target port",
    5: "target port group",
    6: "logical unit group",
    7: "MD5 logical unit identifier",
    8: "SCSI name string",
    9: "protocol specific port identifier",
    10: "UUID",
}
_DESIGNATOR_WORDS = {"association": _ASSOCIATIONS, "designator_type": _DESIGNATOR_TYPES}


def describe_designators(body: bytes) -> list[Row]:
    """Describe a list of designation descriptors, as in VPD page 83h (SPC-4 7.8.6)."""
    rows: list[Row] = []
    header_bytes = vpd.DesignatorHeader.size_bytes
    while len(body) >= header_bytes:
        header = vpd.DesignatorHeader.parse(body)
        designator = body[header_bytes:][: header.designator_length]
        rows += layout_rows(vpd.DesignatorHeader, body, _DESIGNATOR_WORDS)
        rows.append(_designator(header.code_set, designator))
        body = body[header_bytes + header.designator_length :]
    return rows


def _designator(code_set: int, designator: bytes) -> Row:
    if code_set == vpd.CODE_SET_BINARY:
        return Row("designator", designator.hex())
    return Row("designator", designator.rstrip(b"\0").decode("utf-8", "backslashreplace"))


_PROVISIONING_WORDS = {
    "provisioning_type": {0: "not reported", 1: "resource provisioned", 2: "thin provisioned"},
    "lbprz": {0: "not said", 1: "reads as zeros"},
}
_CHARACTERISTICS_WORDS = {"medium_rotation_rate": {0: "not reported", 1: "non-rotating medium"}}


def _of_layout(layout: type[Layout], words: dict[str, dict[int, str]] | None = None) -> DescribePage:
    return lambda body: layout_rows(layout, body, words)


VPD_PAGES: dict[int, PageDescription] = {
    vpd.SUPPORTED_PAGES: PageDescription("Supported VPD Pages", lambda body: [raw_row("supported_pages", body)]),
    vpd.UNIT_SERIAL_NUMBER: PageDescription("Unit Serial Number", _serial_number),
    vpd.DEVICE_IDENTIFICATION: PageDescription("Device Identification", describe_designators),
    vpd.EXTENDED_INQUIRY_DATA: PageDescription("Extended INQUIRY Data", _of_layout(vpd.ExtendedInquiryData)),
    vpd.BLOCK_LIMITS: PageDescription("Block Limits", _of_layout(vpd.BlockLimits)),
    vpd.BLOCK_DEVICE_CHARACTERISTICS: PageDescription(
        "Block Device Characteristics", _of_layout(vpd.BlockDeviceCharacteristics, _CHARACTERISTICS_WORDS)
    ),
    vpd.LOGICAL_BLOCK_PROVISIONING: PageDescription(
        "Logical Block Provisioning", _of_layout(vpd.LogicalBlockProvisioning, _PROVISIONING_WORDS)
    ),
}
"""Descriptions of VPD pages, by page code."""
