"""CDBs of the SCSI Primary Commands (SPC-4 6), and of START STOP UNIT (SBC-4 5.31)."""

from odx_target.scsi.cdb.forms import Cdb, Cdb6, Cdb10, Cdb12, Cdb16, ModePage, ModeSelectFlags, WithServiceAction
from odx_target.scsi.layout import bits, flag, number


class TestUnitReady(Cdb6):
    """CDB of TEST UNIT READY."""


class RequestSense(Cdb6):
    """CDB of REQUEST SENSE."""

    desc: bool = flag(1, 0)
    allocation_length: int = number(4, 1)


class Inquiry(Cdb6):
    """CDB of INQUIRY."""

    cmddt: bool = flag(1, 1)
    evpd: bool = flag(1, 0)
    page_code: int = number(2, 1)
    allocation_length: int = number(3, 2)


class ModeSelect6(ModeSelectFlags, Cdb6):
    """CDB of MODE SELECT(6)."""

    parameter_list_length: int = number(4, 1)


class ModeSelect10(ModeSelectFlags, Cdb10):
    """CDB of MODE SELECT(10)."""

    parameter_list_length: int = number(7, 2)


class ModeSense6(ModePage, Cdb6):
    """CDB of MODE SENSE(6)."""

    allocation_length: int = number(4, 1)


class ModeSense10(ModePage, Cdb10):
    """CDB of MODE SENSE(10)."""

    llbaa: bool = flag(1, 4)
    allocation_length: int = number(7, 2)


class ReceiveDiagnosticResults(Cdb6):
    """CDB of RECEIVE DIAGNOSTIC RESULTS."""

    pcv: bool = flag(1, 0)
    page_code: int = number(2, 1)
    allocation_length: int = number(3, 2)


class SendDiagnostic(Cdb6):
    """CDB of SEND DIAGNOSTIC."""

    self_test_code: int = bits(1, 7, 3)
    pf: bool = flag(1, 4)
    selftest: bool = flag(1, 2)
    devoffl: bool = flag(1, 1)
    unitoffl: bool = flag(1, 0)
    parameter_list_length: int = number(3, 2)


class StartStopUnit(Cdb6):
    """CDB of START STOP UNIT."""

    immed: bool = flag(1, 0)
    power_condition_modifier: int = bits(3, 3, 4)
    power_condition: int = bits(4, 7, 4)
    no_flush: bool = flag(4, 2)
    loej: bool = flag(4, 1)
    start: bool = flag(4, 0)


class Reserve6(Cdb6):
    """CDB of RESERVE(6)."""

    third_party: bool = flag(1, 4)
    third_party_device_id: int = bits(1, 3, 3)
    extent: bool = flag(1, 0)
    reservation_identification: int = number(2, 1)
    parameter_list_length: int = number(3, 2)


class Release6(Cdb6):
    """CDB of RELEASE(6)."""

    third_party: bool = flag(1, 4)
    third_party_device_id: int = bits(1, 3, 3)
    extent: bool = flag(1, 0)
    reservation_identification: int = number(2, 1)


class ReserveRelease10(Cdb10):
    """CDB of RESERVE(10) and RELEASE(10)."""

    third_party: bool = flag(1, 4)
    long_id: bool = flag(1, 1)
    extent: bool = flag(1, 0)
    reservation_identification: int = number(2, 1)
    third_party_device_id: int = number(3, 1)
    parameter_list_length: int = number(7, 2)


class LogSense(Cdb10):
    """CDB of LOG SENSE."""

    ppc: bool = flag(1, 1)
    sp: bool = flag(1, 0)
    page_control: int = bits(2, 7, 2)
    page_code: int = bits(2, 5, 6)
    subpage_code: int = number(3, 1)
    parameter_pointer: int = number(5, 2)
    allocation_length: int = number(7, 2)


class PersistentReserveIn(WithServiceAction, Cdb10):
    """CDB of PERSISTENT RESERVE IN with any service action."""

    allocation_length: int = number(7, 2)


class PersistentReserveOut(WithServiceAction, Cdb10):
    """CDB of PERSISTENT RESERVE OUT with any service action."""

    scope: int = bits(2, 7, 4)
    type: int = bits(2, 3, 4)
    parameter_list_length: int = number(5, 4)


class BufferMode(Cdb):
    """A CDB with MODE and MODE SPECIFIC of a buffer in byte 1."""

    mode_specific: int = bits(1, 7, 3)
    mode: int = bits(1, 4, 5)


class Buffer10(BufferMode, Cdb10):
    """A CDB of 10 bytes that addresses a place in a buffer."""

    buffer_id: int = number(2, 1)
    buffer_offset: int = number(3, 3)


class WriteBuffer(Buffer10):
    """CDB of WRITE BUFFER."""

    parameter_list_length: int = number(6, 3)


class ReadBuffer10(Buffer10):
    """CDB of READ BUFFER(10)."""

    allocation_length: int = number(6, 3)


class ReadBuffer16(BufferMode, Cdb16):
    """CDB of READ BUFFER(16)."""

    buffer_offset: int = number(2, 8)
    allocation_length: int = number(10, 4)
    buffer_id: int = number(14, 1)


class AllocationLength12(WithServiceAction, Cdb12):
    """CDB of REPORT TIMESTAMP and READ MEDIA SERIAL NUMBER."""

    allocation_length: int = number(6, 4)


class IdentifyingInformation(AllocationLength12):
    """CDB of REPORT IDENTIFYING INFORMATION."""

    information_type: int = bits(10, 7, 7)


class SetIdentifyingInformation(WithServiceAction, Cdb12):
    """CDB of SET IDENTIFYING INFORMATION."""

    parameter_list_length: int = number(6, 4)
    information_type: int = bits(10, 7, 7)


class SetTimestamp(WithServiceAction, Cdb12):
    """CDB of SET TIMESTAMP."""

    parameter_list_length: int = number(6, 4)


class ReportTargetPortGroups(WithServiceAction, Cdb12):
    """CDB of REPORT TARGET PORT GROUPS."""

    parameter_data_format: int = bits(1, 7, 3)
    allocation_length: int = number(6, 4)


class SetTargetPortGroups(WithServiceAction, Cdb12):
    """CDB of SET TARGET PORT GROUPS."""

    parameter_list_length: int = number(6, 4)


class ReportLuns(Cdb12):
    """CDB of REPORT LUNS."""

    select_report: int = number(2, 1)
    allocation_length: int = number(6, 4)


class ReportSupportedOperationCodes(WithServiceAction, Cdb12):
    """CDB of REPORT SUPPORTED OPERATION CODES."""

    rctd: bool = flag(2, 7)
    reporting_options: int = bits(2, 2, 3)
    requested_operation_code: int = number(3, 1)
    requested_service_action: int = number(4, 2)
    allocation_length: int = number(6, 4)


class ReportSupportedTaskManagementFunctions(WithServiceAction, Cdb12):
    """CDB of REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS."""

    repd: bool = flag(2, 7)
    allocation_length: int = number(6, 4)
