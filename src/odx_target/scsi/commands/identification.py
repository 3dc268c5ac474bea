"""Commands that identify a logical unit (SPC-4).

Hosts store identifying information with SET IDENTIFYING INFORMATION. It is kept in the attributes of the volume, so it survives
a restart. Snapshots and clones do not get it, because they are other devices.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from odx_target.scsi.access_kind import Access
from odx_target.scsi.cdb.primary_commands import AllocationLength12, IdentifyingInformation, SetIdentifyingInformation
from odx_target.scsi.command_table import CommandFlag, CommandRow
from odx_target.scsi.commands.data_out import parameter_list
from odx_target.scsi.commands.durability import flushed
from odx_target.scsi.layout import Layout, bits, number
from odx_target.scsi.limits import MAX_IDENTIFYING_INFORMATION_BYTES, MAX_IDENTIFYING_TEXT_BYTES
from odx_target.scsi.reply import Reply
from odx_target.scsi.sense import (
    DEVICE_IDENTIFIER_CHANGED,
    INVALID_FIELD_IN_CDB,
    INVALID_FIELD_IN_PARAMETER_LIST,
    CheckCondition,
)
from odx_target.scsi.tasks.outcome import Outcome, Waiting
from odx_target.scsi.tasks.task import Task
from odx_target.scsi.tasks.task_manager import TaskManager

REPORT_IDENTIFYING_INFORMATION = (0xA3, 0x05)
SET_IDENTIFYING_INFORMATION = (0xA4, 0x06)
READ_MEDIA_SERIAL_NUMBER = (0xAB, 0x01)

_INFORMATION_TYPE_BYTE, _HIGHEST_TYPE_BIT = 10, 7
_PARAMETER_LIST_LENGTH_BYTE = 6


@dataclass(frozen=True, slots=True)
class InformationType:
    """A type of identifying information: the attribute of the volume that has it in hexadecimal, and its greatest size."""

    attribute: str
    max_bytes: int


DEVICE, TEXT, SUPPORTED = 0x00, 0x02, 0x7F
INFORMATION_TYPES: Mapping[int, InformationType] = {
    DEVICE: InformationType("identifying_information", MAX_IDENTIFYING_INFORMATION_BYTES),
    TEXT: InformationType("identifying_text", MAX_IDENTIFYING_TEXT_BYTES),
}
"""The types of identifying information that can be set, by their codes. The type SUPPORTED only lists the types."""
IDENTIFYING_ATTRIBUTES = tuple(each.attribute for each in INFORMATION_TYPES.values())
"""The attributes of a volume that have its identifying information. They belong to this volume alone."""


class IdentifyingInformationHeader(Layout):
    """The header of the parameter data of REPORT IDENTIFYING INFORMATION."""

    size_bytes = 4
    identifying_information_length: int = number(2, 2)


class IdentifyingInformationDescriptor(Layout):
    """One type of identifying information that the logical unit supports."""

    identifying_information_type: int = bits(0, 7, 7)
    maximum_identifying_information_length: int = number(2, 2)


class MediaSerialNumberHeader(Layout):
    """The header of the parameter data of READ MEDIA SERIAL NUMBER."""

    media_serial_number_length: int = number(0, 4)


_SERIAL_NUMBER_ALIGNMENT_BYTES = 4


def rows(task_manager: TaskManager) -> list[CommandRow]:
    """Return the row of SET IDENTIFYING INFORMATION. The handler uses `task_manager` to notify other nexuses."""

    def set_identifying_information(task: Task) -> Outcome:
        cdb = SetIdentifyingInformation.parse(task.cdb)
        information_type = _type_of(cdb.information_type)
        length = cdb.parameter_list_length
        if length > information_type.max_bytes:
            raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=_PARAMETER_LIST_LENGTH_BYTE)
        information = parameter_list(task, length)
        if cdb.information_type == TEXT:
            _check_text(information)
        attributes = dict(task.logical_unit.volume.attributes)
        attributes.pop(information_type.attribute, None)
        if information:
            attributes[information_type.attribute] = information.hex()
        task.logical_unit.volume.change_attributes(attributes)
        task_manager.tell_all(task.logical_unit, DEVICE_IDENTIFIER_CHANGED, but=task.nexus)
        return Waiting(flushed, task, length)

    return [
        CommandRow(
            "SET IDENTIFYING INFORMATION",
            SET_IDENTIFYING_INFORMATION[0],
            bytes.fromhex("a40600000000fffffffffe00"),
            set_identifying_information,
            service_action=SET_IDENTIFYING_INFORMATION[1],
            flags=CommandFlag.NOT_IN_GROUP,
        )
    ]


def report_identifying_information(task: Task) -> Outcome:
    """Report the identifying information of one type, or list the supported types."""
    cdb = IdentifyingInformation.parse(task.cdb)
    if cdb.information_type == SUPPORTED:
        body = b"".join(
            IdentifyingInformationDescriptor(
                identifying_information_type=code, maximum_identifying_information_length=information_type.max_bytes
            ).build()
            for code, information_type in INFORMATION_TYPES.items()
        )
    else:
        body = bytes.fromhex(task.logical_unit.volume.attributes.get(_type_of(cdb.information_type).attribute, ""))
    header = IdentifyingInformationHeader(identifying_information_length=len(body))
    return Reply.of_parameter_data(header.build() + body, cdb.allocation_length)


def read_media_serial_number(task: Task) -> Outcome:
    """Report the serial number of the logical unit, because its medium cannot be removed."""
    serial_number = task.logical_unit.serial_number.encode("ascii")
    serial_number += bytes(-len(serial_number) % _SERIAL_NUMBER_ALIGNMENT_BYTES)
    header = MediaSerialNumberHeader(media_serial_number_length=len(serial_number))
    return Reply.of_parameter_data(header.build() + serial_number, AllocationLength12.parse(task.cdb).allocation_length)


def _type_of(code: int) -> InformationType:
    information_type = INFORMATION_TYPES.get(code)
    if information_type is None:
        raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=_INFORMATION_TYPE_BYTE, bit=_HIGHEST_TYPE_BIT)
    return information_type


def _check_text(text: bytes) -> None:
    """Raise CheckCondition unless a text is UTF-8 with one zero, at its end. An empty text is valid."""
    try:
        text.decode("utf-8")
        is_valid = not text or text.find(b"\0") == len(text) - 1
    except UnicodeDecodeError:
        is_valid = False
    if not is_valid:
        raise CheckCondition(INVALID_FIELD_IN_PARAMETER_LIST, data_field=0)


ROWS = (
    CommandRow(
        "REPORT IDENTIFYING INFORMATION",
        REPORT_IDENTIFYING_INFORMATION[0],
        bytes.fromhex("a30500000000fffffffffe00"),
        report_identifying_information,
        service_action=REPORT_IDENTIFYING_INFORMATION[1],
        access=Access.ALWAYS_ALLOWED,
    ),
    CommandRow(
        "READ MEDIA SERIAL NUMBER",
        READ_MEDIA_SERIAL_NUMBER[0],
        bytes.fromhex("ab0100000000ffffffff0000"),
        read_media_serial_number,
        service_action=READ_MEDIA_SERIAL_NUMBER[1],
        access=Access.ALWAYS_ALLOWED,
    ),
)
