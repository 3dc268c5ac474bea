"""Mode pages (SPC-4 7.5, SBC-4 6.5): the layouts of pages, and the fields that MODE SELECT can change."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from odx_target.scsi.layout import Layout, bits, flag, number
from odx_target.scsi.pages.threshold_descriptors import (
    LogicalBlockProvisioningPage,
    build_thresholds,
    changeable_thresholds,
    invalid_threshold_byte,
    parse_thresholds,
)
from odx_target.scsi.unit.thresholds import NO_THRESHOLDS, Threshold

READ_WRITE_ERROR_RECOVERY = 0x01
CACHING = 0x08
CONTROL = 0x0A
INFORMATIONAL_EXCEPTIONS_CONTROL = 0x1C
ALL_PAGES = 0x3F
NO_SUBPAGE = 0x00
CONTROL_EXTENSION_SUBPAGE = 0x01
LOGICAL_BLOCK_PROVISIONING_SUBPAGE = 0x02
ALL_SUBPAGES = 0xFF


class ModeHeader6(Layout):
    """The mode parameter header of MODE SENSE(6) and MODE SELECT(6)."""

    mode_data_length: int = number(0, 1)
    medium_type: int = number(1, 1)
    wp: bool = flag(2, 7)
    dpofua: bool = flag(2, 4)
    block_descriptor_length: int = number(3, 1)


class ModeHeader10(Layout):
    """The mode parameter header of MODE SENSE(10) and MODE SELECT(10)."""

    mode_data_length: int = number(0, 2)
    medium_type: int = number(2, 1)
    wp: bool = flag(3, 7)
    dpofua: bool = flag(3, 4)
    longlba: bool = flag(4, 0)
    block_descriptor_length: int = number(6, 2)


class ShortBlockDescriptor(Layout):
    """A mode parameter block descriptor of 8 bytes."""

    number_of_logical_blocks: int = number(0, 4)
    logical_block_length: int = number(5, 3)


class LongBlockDescriptor(Layout):
    """A mode parameter block descriptor of 16 bytes."""

    number_of_logical_blocks: int = number(0, 8)
    logical_block_length: int = number(12, 4)


class ModePageHeader(Layout):
    """The header of a mode page without a subpage code."""

    ps: bool = flag(0, 7)
    spf: bool = flag(0, 6)
    page_code: int = bits(0, 5, 6)
    page_length: int = number(1, 1)


class ModeSubpageHeader(Layout):
    """The header of a mode page with a subpage code."""

    ps: bool = flag(0, 7)
    spf: bool = flag(0, 6)
    page_code: int = bits(0, 5, 6)
    subpage_code: int = number(1, 1)
    page_length: int = number(2, 2)


# Bodies of pages, without the page header.


class ReadWriteErrorRecoveryPage(Layout):
    """The body of the Read-Write Error Recovery page."""

    size_bytes = 10
    awre: bool = flag(0, 7)
    arre: bool = flag(0, 6)
    tb: bool = flag(0, 5)
    rc: bool = flag(0, 4)
    per: bool = flag(0, 2)
    dte: bool = flag(0, 1)
    read_retry_count: int = number(1, 1)
    lbpere: bool = flag(5, 7)
    mwr: int = bits(5, 6, 2)
    write_retry_count: int = number(6, 1)
    recovery_time_limit: int = number(8, 2)


class CachingPage(Layout):
    """The body of the Caching page."""

    size_bytes = 18
    ic: bool = flag(0, 7)
    abpf: bool = flag(0, 6)
    cap: bool = flag(0, 5)
    disc: bool = flag(0, 4)
    size: bool = flag(0, 3)
    wce: bool = flag(0, 2)
    mf: bool = flag(0, 1)
    rcd: bool = flag(0, 0)
    demand_read_retention_priority: int = bits(1, 7, 4)
    write_retention_priority: int = bits(1, 3, 4)
    disable_prefetch_transfer_length: int = number(2, 2)
    minimum_prefetch: int = number(4, 2)
    maximum_prefetch: int = number(6, 2)
    maximum_prefetch_ceiling: int = number(8, 2)
    fsw: bool = flag(10, 7)
    lbcss: bool = flag(10, 6)
    dra: bool = flag(10, 5)
    sync_prog: int = bits(10, 2, 2)
    nv_dis: bool = flag(10, 0)
    number_of_cache_segments: int = number(11, 1)
    cache_segment_size: int = number(12, 2)


class ControlPage(Layout):
    """The body of the Control page."""

    tst: int = bits(0, 7, 3)
    tmf_only: bool = flag(0, 4)
    dpicz: bool = flag(0, 3)
    d_sense: bool = flag(0, 2)
    gltsd: bool = flag(0, 1)
    rlec: bool = flag(0, 0)
    queue_algorithm_modifier: int = bits(1, 7, 4)
    nuar: bool = flag(1, 3)
    qerr: int = bits(1, 2, 2)
    vs: bool = flag(2, 7)
    rac: bool = flag(2, 6)
    ua_intlck_ctrl: int = bits(2, 5, 2)
    swp: bool = flag(2, 3)
    ato: bool = flag(3, 7)
    tas: bool = flag(3, 6)
    atmpe: bool = flag(3, 5)
    rwwp: bool = flag(3, 4)
    autoload_mode: int = bits(3, 2, 3)
    busy_timeout_period: int = number(6, 2)
    extended_self_test_completion_time: int = number(8, 2)


class ControlExtensionPage(Layout):
    """The body of the Control Extension page."""

    size_bytes = 28
    tcmos: bool = flag(0, 2)
    scsip: bool = flag(0, 1)
    ialuae: bool = flag(0, 0)
    initial_command_priority: int = bits(1, 3, 4)
    maximum_sense_data_length: int = number(2, 1)


class InformationalExceptionsControlPage(Layout):
    """The body of the Informational Exceptions Control page."""

    perf: bool = flag(0, 7)
    ebf: bool = flag(0, 5)
    ewasc: bool = flag(0, 4)
    dexcpt: bool = flag(0, 3)
    test: bool = flag(0, 2)
    ebackerr: bool = flag(0, 1)
    logerr: bool = flag(0, 0)
    mrie: int = bits(1, 3, 4)
    interval_timer: int = number(2, 4)
    report_count: int = number(6, 4)


@dataclass(frozen=True, slots=True)
class ModeParameters:
    """The mode parameters of a logical unit that can change. They are the same for all nexuses (TST 000b)."""

    write_cache_enabled: bool
    """True if the array may report GOOD for a write before its data is durable. A loss of power before the next SYNCHRONIZE
    CACHE may then lose this data."""
    descriptor_format_sense: bool
    software_write_protect: bool = False
    threshold_reporting_enabled: bool = True
    """True if hosts are notified of reached thresholds."""
    thresholds: tuple[Threshold, ...] = NO_THRESHOLDS
    implicit_access_enabled: bool = False
    """True if the array changes the states of target port groups (SPC-4 5.15.2.7). MODE SELECT cannot change this."""


@dataclass(frozen=True, slots=True)
class ModePage:
    """A mode page: the layout of its body, and functions that convert mode parameters to a body and a body to mode
    parameters.
    """

    layout: type[Layout]
    changeable: Callable[[], Layout]
    """Function that returns the mask of the body of the page. A bit is 1 if MODE SELECT can change it."""
    body: Callable[[ModeParameters], Layout]
    """Function that takes mode parameters and returns the body that reports them."""
    select: Callable[[bytes, ModeParameters], ModeParameters]
    """Function that takes a body of MODE SELECT and the present mode parameters, and returns the new mode parameters."""
    invalid_byte: Callable[[bytes], int | None] = lambda _body: None
    """Function that takes a body of MODE SELECT. It returns the index of a byte that contradicts other bytes, or None if the
    body is valid."""

    def build(self, parameters: ModeParameters) -> bytes:
        """Build the body of the page that reports `parameters`."""
        return self.body(parameters).build()

    def changeable_bits(self) -> bytes:
        """Build the mask of bits that MODE SELECT can change in the body of the page."""
        return self.changeable().build()


def _select_caching(body: bytes, parameters: ModeParameters) -> ModeParameters:
    return replace(parameters, write_cache_enabled=CachingPage.parse(body).wce)


def _select_control(body: bytes, parameters: ModeParameters) -> ModeParameters:
    page = ControlPage.parse(body)
    return replace(parameters, descriptor_format_sense=page.d_sense, software_write_protect=page.swp)


PAGES: dict[tuple[int, int], ModePage] = {
    (READ_WRITE_ERROR_RECOVERY, NO_SUBPAGE): ModePage(
        ReadWriteErrorRecoveryPage,
        changeable=lambda: ReadWriteErrorRecoveryPage(lbpere=True),
        body=lambda parameters: ReadWriteErrorRecoveryPage(lbpere=parameters.threshold_reporting_enabled),
        select=lambda body, parameters: replace(
            parameters, threshold_reporting_enabled=ReadWriteErrorRecoveryPage.parse(body).lbpere
        ),
    ),
    (CACHING, NO_SUBPAGE): ModePage(
        CachingPage,
        changeable=lambda: CachingPage(wce=True),
        body=lambda parameters: CachingPage(wce=parameters.write_cache_enabled),
        select=_select_caching,
    ),
    # QERR 00b: an error ends only one command. TAS 0: a task that another nexus aborts ends without a status.
    (CONTROL, NO_SUBPAGE): ModePage(
        ControlPage,
        changeable=lambda: ControlPage(d_sense=True, swp=True),
        body=lambda parameters: ControlPage(d_sense=parameters.descriptor_format_sense, swp=parameters.software_write_protect),
        select=_select_control,
    ),
    # SCSIP 1: SET TIMESTAMP is accepted. TCMOS 1: the clock of the machine may set the timestamp too.
    (CONTROL, CONTROL_EXTENSION_SUBPAGE): ModePage(
        ControlExtensionPage,
        changeable=ControlExtensionPage,
        body=lambda parameters: ControlExtensionPage(tcmos=True, scsip=True, ialuae=parameters.implicit_access_enabled),
        select=lambda _body, parameters: parameters,
    ),
    # DEXCPT 1: reporting of informational exceptions is disabled.
    (INFORMATIONAL_EXCEPTIONS_CONTROL, NO_SUBPAGE): ModePage(
        InformationalExceptionsControlPage,
        changeable=InformationalExceptionsControlPage,
        body=lambda _parameters: InformationalExceptionsControlPage(dexcpt=True),
        select=lambda _body, parameters: parameters,
    ),
    # SITUA 0: every nexus is notified of a reached threshold.
    (INFORMATIONAL_EXCEPTIONS_CONTROL, LOGICAL_BLOCK_PROVISIONING_SUBPAGE): ModePage(
        LogicalBlockProvisioningPage,
        changeable=changeable_thresholds,
        body=lambda parameters: build_thresholds(parameters.thresholds),
        select=lambda body, parameters: replace(parameters, thresholds=parse_thresholds(body)),
        invalid_byte=invalid_threshold_byte,
    ),
}
"""Mode pages by page code and subpage code, in ascending order."""


def page_header(page_code: int, subpage_code: int, page_length: int) -> ModePageHeader | ModeSubpageHeader:
    """Return the header of a page, in the format for its subpage code."""
    if subpage_code == NO_SUBPAGE:
        return ModePageHeader(page_code=page_code, page_length=page_length)
    return ModeSubpageHeader(spf=True, page_code=page_code, subpage_code=subpage_code, page_length=page_length)
