"""INQUIRY (SPC-4 6.4)."""

from odx_target.scsi.access_kind import Access
from odx_target.scsi.asymmetric_access.access_state import AccessState
from odx_target.scsi.asymmetric_access.availability import Availability
from odx_target.scsi.cdb.primary_commands import Inquiry
from odx_target.scsi.command_table import ANSWERS_ALWAYS, CommandRow
from odx_target.scsi.layout import Layout, bits, flag, number, octets
from odx_target.scsi.pages import vital_product_data as vpd
from odx_target.scsi.pages.version_descriptors import CLAIMED
from odx_target.scsi.port_access import PortAccess
from odx_target.scsi.reply import Reply
from odx_target.scsi.sense import INVALID_FIELD_IN_CDB, CheckCondition
from odx_target.scsi.target_port import TargetPort
from odx_target.scsi.tasks.outcome import Outcome
from odx_target.scsi.tasks.task import Task
from odx_target.scsi.tasks.task_manager import TaskManager
from odx_target.scsi.unit.logical_unit import LogicalUnit

INQUIRY = 0x12


class StandardInquiryData(Layout):
    """Standard INQUIRY data (SPC-4 6.4.2)."""

    size_bytes = 96
    peripheral_qualifier: int = bits(0, 7, 3)
    peripheral_device_type: int = bits(0, 4, 5)
    rmb: bool = flag(1, 7)
    version: int = number(2, 1)
    normaca: bool = flag(3, 5)
    hisup: bool = flag(3, 4)
    response_data_format: int = bits(3, 3, 4)
    additional_length: int = number(4, 1)
    sccs: bool = flag(5, 7)
    acc: bool = flag(5, 6)
    tpgs: int = bits(5, 5, 2)
    third_party_copy: bool = flag(5, 3)
    protect: bool = flag(5, 0)
    encserv: bool = flag(6, 6)
    vs: bool = flag(6, 5)
    multip: bool = flag(6, 4)
    cmdque: bool = flag(7, 1)
    vs_2: bool = flag(7, 0)
    t10_vendor_identification: bytes = octets(8, 8)
    product_identification: bytes = octets(16, 16)
    product_revision_level: bytes = octets(32, 4)
    vendor_specific: bytes = octets(36, 20)
    version_descriptor_1: int = number(58, 2)
    version_descriptor_2: int = number(60, 2)
    version_descriptor_3: int = number(62, 2)
    version_descriptor_4: int = number(64, 2)
    version_descriptor_5: int = number(66, 2)
    version_descriptor_6: int = number(68, 2)
    version_descriptor_7: int = number(70, 2)
    version_descriptor_8: int = number(72, 2)

    @property
    def version_descriptors(self) -> tuple[int, ...]:
        """The version descriptors. An unused descriptor is zero."""
        return (
            self.version_descriptor_1,
            self.version_descriptor_2,
            self.version_descriptor_3,
            self.version_descriptor_4,
            self.version_descriptor_5,
            self.version_descriptor_6,
            self.version_descriptor_7,
            self.version_descriptor_8,
        )


VERSION_SPC_4 = 0x06
RESPONSE_DATA_FORMAT = 2
NOT_CONNECTED = 0b001
"""PERIPHERAL QUALIFIER of a logical unit that cannot be accessed at present."""
UNREACHABLE_STATES = frozenset({AccessState.UNAVAILABLE, AccessState.OFFLINE})
"""The states of a target port in which INQUIRY reports NOT_CONNECTED (SPC-4 5.15.2.4.5). A logical unit of a group is
unavailable only until its members find each other, and Linux would not use it later.
"""


def inquiry(task: Task, port_access: PortAccess | None) -> Outcome:
    """Report standard INQUIRY data or a VPD page. For a LUN without a logical unit, only standard data and page 00h can be
    requested. MULTIP tells if the target of the nexus has several ports. Without `port_access`, it counts those in the target
    port groups of the logical unit.
    """
    cdb = Inquiry.parse(task.cdb)
    logical_unit, port = task.logical_unit, task.nexus.target_port
    if logical_unit.group is not None:
        port = logical_unit.group.reported_port(port)
    if cdb.evpd:
        data = _page(logical_unit, port, cdb.page_code)
    elif cdb.page_code:
        raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=2)
    else:
        multip = logical_unit.multip if port_access is None else port_access.has_several_ports(port.device_name)
        data = standard_inquiry_data(logical_unit, multip=multip)
    if (
        logical_unit.group is None
        and logical_unit.restricted
        and logical_unit.port_groups.state_of(port.target_port_group) in UNREACHABLE_STATES
    ):
        data = bytes((NOT_CONNECTED << 5 | data[0] & 0x1F,)) + data[1:]
    return Reply.of_parameter_data(data, cdb.allocation_length)


def _page(logical_unit: LogicalUnit, port: TargetPort, page_code: int) -> bytes:
    if not logical_unit.is_present:
        if page_code == vpd.SUPPORTED_PAGES:
            header = vpd.VpdPageHeader(
                peripheral_qualifier=logical_unit.peripheral_qualifier,
                peripheral_device_type=logical_unit.peripheral_device_type,
                page_length=1,
            )
            return header.build() + bytes((vpd.SUPPORTED_PAGES,))
        raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=2)
    builder = vpd.all_pages(logical_unit).get(page_code)
    if builder is None:
        raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=2)
    return builder(logical_unit, port)


def standard_inquiry_data(logical_unit: LogicalUnit, *, multip: bool) -> bytes:
    """Build the 96 bytes of standard INQUIRY data."""
    first, second, third, fourth = CLAIMED
    personality = logical_unit.personality
    return StandardInquiryData(
        peripheral_qualifier=logical_unit.peripheral_qualifier,
        peripheral_device_type=logical_unit.peripheral_device_type,
        version=VERSION_SPC_4,
        hisup=True,
        response_data_format=RESPONSE_DATA_FORMAT,
        additional_length=StandardInquiryData.size_bytes - 5,
        tpgs=logical_unit.tpgs,
        third_party_copy=logical_unit.third_party_copy and personality.third_party_copy,
        multip=multip,
        cmdque=True,
        t10_vendor_identification=personality.vendor,
        product_identification=personality.product,
        product_revision_level=personality.revision,
        version_descriptor_1=first,
        version_descriptor_2=second,
        version_descriptor_3=third,
        version_descriptor_4=fourth,
    ).build()


def rows(task_manager: TaskManager) -> list[CommandRow]:
    """Return the row of INQUIRY. The handler finds the target ports of a logical unit through `task_manager`."""
    return [
        CommandRow(
            "INQUIRY",
            INQUIRY,
            bytes.fromhex("1201ffffff00"),
            lambda task: inquiry(task, task_manager.port_access),
            flags=ANSWERS_ALWAYS,
            access=Access.ALWAYS_ALLOWED,
            availability=Availability.ALWAYS,
        )
    ]
