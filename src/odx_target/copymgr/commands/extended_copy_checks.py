"""The checks of EXTENDED COPY before it begins, as one table (SPC-4 6.4). The checks run in the order of the table.

A check that fails raises a `Refusal` with the sense key ILLEGAL REQUEST, and nothing is copied or recorded.
`commands.segments` finds the logical units of the segments, and refuses wrong segments with COPY ABORTED.
"""

from collections.abc import Callable
from typing import NamedTuple

from odx_target.copymgr.commands.extended_copy_list import (
    CSCD_DESCRIPTOR_BYTES,
    CSCD_TYPES,
    HEADER_CSCD_LIST_LENGTH,
    HEADER_CSCD_TYPE,
    LIST_FORMAT_LID4,
    SEGMENT_TYPES,
    ExtendedCopyList,
    ListIdUsage,
    RawDescriptor,
)
from odx_target.copymgr.limits import CopyLimits
from odx_target.copymgr.operations.operation import CopyOperation
from odx_target.copymgr.refusal import Refusal
from odx_target.scsi.sense import (
    INLINE_DATA_LENGTH_EXCEEDED,
    INVALID_FIELD_IN_PARAMETER_LIST,
    OPERATION_IN_PROGRESS,
    PARAMETER_LIST_LENGTH_ERROR,
    TOO_MANY_CSCD_DESCRIPTORS,
    TOO_MANY_SEGMENT_DESCRIPTORS,
    UNSUPPORTED_CSCD_DESCRIPTOR_TYPE_CODE,
    UNSUPPORTED_SEGMENT_DESCRIPTOR_TYPE_CODE,
    Condition,
)

_FLAGS_BYTE = 1
_LIST_ID_USAGE_BIT = 4
_LENGTH_IN_SEGMENT = 2
_LID4_OPTIONS_BYTE = 15
_G_SENSE_BIT, _IMMED_BIT = 1, 0


class CopyRequest(NamedTuple):
    """A command to check. `running` is the running operation that uses the list identifier, or None."""

    parameters: ExtendedCopyList
    limits: CopyLimits
    running: CopyOperation | None
    service_action: int


def wrong_lid4_header(request: CopyRequest) -> None:
    header = request.parameters.lid4_header
    if header is None:
        return
    if header.parameter_list_format != LIST_FORMAT_LID4:
        raise _bad_list("the list has another format", "PARAMETER LIST FORMAT", header.parameter_list_format, at=0)
    if header.header_cscd_descriptor_list_length != HEADER_CSCD_LIST_LENGTH:
        value = header.header_cscd_descriptor_list_length
        raise _bad_list("the length of the header is another", "HEADER CSCD DESCRIPTOR LIST LENGTH", value, at=2)
    if header.header_cscd_descriptor_type_code != HEADER_CSCD_TYPE:
        value = header.header_cscd_descriptor_type_code
        raise _bad_list("the header has another type", "HEADER CSCD DESCRIPTOR TYPE CODE", value, at=16)
    for field, value, bit in (("G_SENSE", header.g_sense, _G_SENSE_BIT), ("IMMED", header.immed, _IMMED_BIT)):
        if value:
            raise _bad_list("this option is not supported", field, 1, at=_LID4_OPTIONS_BYTE, bit=bit)


def descriptors_too_long(request: CopyRequest) -> None:
    size_bytes = request.parameters.descriptors_bytes
    if size_bytes > request.limits.max_descriptor_list_bytes:
        raise Refusal(
            PARAMETER_LIST_LENGTH_ERROR,
            rule="the descriptors are too long",
            field="CSCD and SEGMENT DESCRIPTOR LIST LENGTH",
            value=size_bytes,
            limit="MAXIMUM DESCRIPTOR LIST LENGTH",
            allowed=request.limits.max_descriptor_list_bytes,
        )


def list_is_cut(request: CopyRequest) -> None:
    """Refuse a list that ends inside its descriptors or inline data, except for inline data that is too long anyway."""
    if request.parameters.is_cut:
        raise Refusal(PARAMETER_LIST_LENGTH_ERROR, rule="the list ends inside a descriptor or inside its inline data")


def uneven_cscd_list(request: CopyRequest) -> None:
    length = request.parameters.header.cscd_descriptor_list_length
    if length % CSCD_DESCRIPTOR_BYTES:
        at = request.parameters.fields.cscd_length
        raise _bad_list("a CSCD descriptor has 32 bytes", "CSCD DESCRIPTOR LIST LENGTH", length, at=at)


def too_many_cscds(request: CopyRequest) -> None:
    count, allowed = len(request.parameters.cscds), request.limits.max_cscd_descriptors
    if count > allowed:
        limit = "MAXIMUM CSCD DESCRIPTOR COUNT"
        raise Refusal(TOO_MANY_CSCD_DESCRIPTORS, rule="too many CSCD descriptors", value=count, limit=limit, allowed=allowed)


def too_many_segments(request: CopyRequest) -> None:
    count, allowed = len(request.parameters.segments), request.limits.max_segment_descriptors
    if count > allowed:
        limit = "MAXIMUM SEGMENT DESCRIPTOR COUNT"
        raise Refusal(TOO_MANY_SEGMENT_DESCRIPTORS, rule="too many segments", value=count, limit=limit, allowed=allowed)


def wrong_list_id_usage(request: CopyRequest) -> None:
    header = request.parameters.header
    if header.list_id_usage == ListIdUsage.RESERVED:
        field, value = "LIST ID USAGE", header.list_id_usage
        raise _bad_list("the value is reserved", field, value, at=_FLAGS_BYTE, bit=_LIST_ID_USAGE_BIT)
    if header.list_id_usage == ListIdUsage.NO_IDENTIFIER and header.list_identifier:
        rule, at = "LIST ID USAGE 11b needs the identifier zero", request.parameters.fields.list_identifier
        raise _bad_list(rule, "LIST IDENTIFIER", header.list_identifier, at=at)


def list_identifier_in_use(request: CopyRequest) -> None:
    """Refuse a list identifier that a running operation uses. The other form of EXTENDED COPY has its own sense code."""
    header, running = request.parameters.header, request.running
    if running is None or header.list_id_usage == ListIdUsage.NO_IDENTIFIER:
        return
    rule, field, value = "an operation with this list identifier is under way", "LIST IDENTIFIER", header.list_identifier
    if running.is_extended_copy and running.service_action != request.service_action:
        raise _bad_list(rule, field, value, at=request.parameters.fields.list_identifier)
    raise Refusal(OPERATION_IN_PROGRESS, rule=rule, field=field, value=value)


def unknown_cscd_type(request: CopyRequest) -> None:
    for descriptor in request.parameters.cscds:
        if descriptor.type_code not in CSCD_TYPES:
            rule = "only identification descriptors are supported"
            raise _unknown_type(UNSUPPORTED_CSCD_DESCRIPTOR_TYPE_CODE, rule, descriptor)


def unknown_segment_type(request: CopyRequest) -> None:
    for descriptor in request.parameters.segments:
        if descriptor.type_code not in SEGMENT_TYPES:
            rule = "only segments from blocks to blocks are supported"
            raise _unknown_type(UNSUPPORTED_SEGMENT_DESCRIPTOR_TYPE_CODE, rule, descriptor)


def wrong_segment_length(request: CopyRequest) -> None:
    for descriptor in request.parameters.segments:
        size_bytes = len(descriptor.data)
        if size_bytes != SEGMENT_TYPES[descriptor.type_code].size_bytes:
            at = descriptor.offset + _LENGTH_IN_SEGMENT
            raise _bad_list("segments of this type have another length", "DESCRIPTOR LENGTH", size_bytes - 4, at=at)


def inline_data_too_long(request: CopyRequest) -> None:
    length = request.parameters.header.inline_data_length
    if length:
        raise Refusal(
            INLINE_DATA_LENGTH_EXCEEDED,
            data_field=request.parameters.fields.inline_length,
            rule="inline data is not supported",
            field="INLINE DATA LENGTH",
            value=length,
            limit="MAXIMUM INLINE DATA LENGTH",
            allowed=0,
        )


EXTENDED_COPY_CHECKS: tuple[Callable[[CopyRequest], None], ...] = (
    wrong_lid4_header,
    descriptors_too_long,
    list_is_cut,
    uneven_cscd_list,
    too_many_cscds,
    too_many_segments,
    wrong_list_id_usage,
    list_identifier_in_use,
    unknown_cscd_type,
    unknown_segment_type,
    wrong_segment_length,
    inline_data_too_long,
)


def _unknown_type(condition: Condition, rule: str, descriptor: RawDescriptor) -> Refusal:
    field, value = "DESCRIPTOR TYPE CODE", descriptor.type_code
    return Refusal(condition, data_field=descriptor.offset, rule=rule, field=field, value=value)


def _bad_list(rule: str, field: str, value: int, *, at: int, bit: int | None = None) -> Refusal:
    return Refusal(INVALID_FIELD_IN_PARAMETER_LIST, data_field=at, bit=bit, rule=rule, field=field, value=value)
