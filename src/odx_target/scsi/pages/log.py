"""Log pages (SPC-4 7.3, SBC-4 6.4): the layouts of pages, and the functions that build pages for a logical unit.

A *builder* is a function that returns the log parameters of a page, in ascending order of their codes. The builders of other
packages are in `LogicalUnit.added_log_pages`. Every parameter is a list in binary format. No parameter is a counter with a
threshold. Therefore the PC field of LOG SENSE has no effect, and LOG SELECT is not supported.
"""

from collections.abc import Callable

from odx_target.scsi.layout import Layout, bits, flag, number
from odx_target.scsi.limits import THRESHOLD_SET_BYTES
from odx_target.scsi.sense import FAILURE_PREDICTION_THRESHOLD_EXCEEDED, NO_ADDITIONAL_SENSE_INFORMATION
from odx_target.scsi.unit.logical_unit import LogicalUnit, LogParameters

SUPPORTED_LOG_PAGES = 0x00
LOGICAL_BLOCK_PROVISIONING = 0x0C
INFORMATIONAL_EXCEPTIONS = 0x2F
NO_SUBPAGE = 0x00
SUPPORTED_SUBPAGES = 0xFF


class LogPageHeader(Layout):
    """The header of a log page."""

    ds: bool = flag(0, 7)
    spf: bool = flag(0, 6)
    page_code: int = bits(0, 5, 6)
    subpage_code: int = number(1, 1)
    page_length: int = number(2, 2)


class LogParameterHeader(Layout):
    """The header of a log parameter."""

    parameter_code: int = number(0, 2)
    du: bool = flag(2, 7)
    tsd: bool = flag(2, 5)
    etc: bool = flag(2, 4)
    tmc: int = bits(2, 3, 2)
    format_and_linking: int = bits(2, 1, 2)
    parameter_length: int = number(3, 1)


BINARY_FORMAT_LIST = 0b11

AVAILABLE_LBA_MAPPING_RESOURCE_COUNT = 0x0001
USED_LBA_MAPPING_RESOURCE_COUNT = 0x0002
AVAILABLE_PROVISIONING_RESOURCE_PERCENTAGE = 0x0003
DEDUPLICATED_LBA_RESOURCE_COUNT = 0x0100
COMPRESSED_LBA_RESOURCE_COUNT = 0x0101


class ResourceCount(Layout):
    """The value of a resource count parameter of the Logical Block Provisioning log page."""

    size_bytes = 8
    resource_count: int = number(0, 4)
    scope: int = bits(4, 1, 2)


class ResourcePercentage(Layout):
    """The value of the Available Provisioning Resource Percentage parameter."""

    size_bytes = 8
    resource_count: int = number(0, 2)
    scope: int = bits(4, 1, 2)


SCOPE_NOT_DEDICATED = 0b10
"""Value of SCOPE in the resource counts. It means that all logical units share the space of the pool."""
_MAX_RESOURCE_COUNT = 0xFFFF_FFFF

GENERAL_INFORMATIONAL_EXCEPTIONS = 0x0000


class InformationalExceptionsGeneral(Layout):
    """The value of the general parameter of the Informational Exceptions log page."""

    informational_exception_additional_sense_code: int = number(0, 1)
    informational_exception_additional_sense_code_qualifier: int = number(1, 1)
    most_recent_temperature_reading: int = number(2, 1)


NO_TEMPERATURE = 0xFF


def logical_block_provisioning(logical_unit: LogicalUnit) -> LogParameters:
    """Report the used space of the pool and, if it is known, the available space, in threshold sets (SBC-4 6.4.5). Space that
    cleaning will make available counts as available.

    The counts of deduplicated and of compressed blocks are always zero: the store does not deduplicate, and the array does not
    report the effect of compression here. Windows reads only the first two parameters.
    """
    usage = logical_unit.pool.usage()
    used = (USED_LBA_MAPPING_RESOURCE_COUNT, _resource_count(-(-usage.needed_bytes // THRESHOLD_SET_BYTES)))
    never = [(code, _resource_count(0)) for code in (DEDUPLICATED_LBA_RESOURCE_COUNT, COMPRESSED_LBA_RESOURCE_COUNT)]
    obtainable_bytes = usage.obtainable_bytes
    if obtainable_bytes is None:
        return [used, *never]
    available = _resource_count(obtainable_bytes // THRESHOLD_SET_BYTES)
    percent = obtainable_bytes * 100 // max(usage.needed_bytes + obtainable_bytes, 1)
    percentage = ResourcePercentage(resource_count=percent, scope=SCOPE_NOT_DEDICATED).build()
    return [
        (AVAILABLE_LBA_MAPPING_RESOURCE_COUNT, available),
        used,
        (AVAILABLE_PROVISIONING_RESOURCE_PERCENTAGE, percentage),
        *never,
    ]


def _resource_count(count: int) -> bytes:
    return ResourceCount(resource_count=min(count, _MAX_RESOURCE_COUNT), scope=SCOPE_NOT_DEDICATED).build()


def informational_exceptions(logical_unit: LogicalUnit) -> LogParameters:
    """Report FAILURE PREDICTION THRESHOLD EXCEEDED if the pool accepts no more writes (SPC-4 7.3.8)."""
    failed = logical_unit.pool.failure is not None
    condition = FAILURE_PREDICTION_THRESHOLD_EXCEEDED if failed else NO_ADDITIONAL_SENSE_INFORMATION
    value = InformationalExceptionsGeneral(
        informational_exception_additional_sense_code=condition.asc,
        informational_exception_additional_sense_code_qualifier=condition.ascq,
        most_recent_temperature_reading=NO_TEMPERATURE,
    ).build()
    return [(GENERAL_INFORMATIONAL_EXCEPTIONS, value)]


STANDARD_LOG_PAGES: dict[tuple[int, int], Callable[[LogicalUnit], LogParameters]] = {
    (LOGICAL_BLOCK_PROVISIONING, NO_SUBPAGE): logical_block_provisioning,
    (INFORMATIONAL_EXCEPTIONS, NO_SUBPAGE): informational_exceptions,
}
"""Builders of the log pages that every logical unit has, by page code and subpage code. Pages that list the supported pages are
not included.
"""


def all_pages(logical_unit: LogicalUnit) -> dict[tuple[int, int], Callable[[LogicalUnit], LogParameters]]:
    """Return the builders of all log pages of a logical unit, by page code and subpage code. Builders of other packages are
    included.
    """
    return STANDARD_LOG_PAGES | logical_unit.added_log_pages


def page(page_code: int, subpage_code: int, body: bytes) -> bytes:
    """Build a log page from its codes and its body.

    DS (disable save) is 1 for pages with parameters, because no parameter is saved.
    """
    is_list = (page_code, subpage_code) == (SUPPORTED_LOG_PAGES, NO_SUBPAGE) or subpage_code == SUPPORTED_SUBPAGES
    header = LogPageHeader(
        ds=not is_list,
        spf=subpage_code != NO_SUBPAGE,
        page_code=page_code,
        subpage_code=subpage_code,
        page_length=len(body),
    )
    return header.build() + body


def parameter(parameter_code: int, value: bytes) -> bytes:
    """Build a log parameter from its code and its value."""
    header = LogParameterHeader(
        parameter_code=parameter_code, format_and_linking=BINARY_FORMAT_LIST, parameter_length=len(value)
    ).build()
    return header + value


def supported_pages(logical_unit: LogicalUnit) -> bytes:
    """Return the codes of all pages that have no subpage code, in ascending order (SPC-4 7.3.17)."""
    codes = {page_code for page_code, subpage_code in all_pages(logical_unit) if subpage_code == NO_SUBPAGE}
    return bytes(sorted(codes | {SUPPORTED_LOG_PAGES}))


def supported_subpages(logical_unit: LogicalUnit, page_code: int | None = None) -> bytes:
    """Return the page codes and subpage codes of all pages, in ascending order (SPC-4 7.3.18, 7.3.19).

    If `page_code` is given, return only the codes of pages with this page code.
    """
    pages = {*all_pages(logical_unit), (SUPPORTED_LOG_PAGES, NO_SUBPAGE)}
    pages |= {(code, SUPPORTED_SUBPAGES) for code, _ in pages}
    return b"".join(bytes(each) for each in sorted(pages) if page_code in (None, each[0]))
