"""EXTENDED COPY(LID1) and EXTENDED COPY(LID4) (SPC-4 6.4 and 6.5): copy segments of blocks between logical units."""

from collections.abc import Sequence

from odx_target.copymgr.commands.extended_copy_checks import EXTENDED_COPY_CHECKS, CopyRequest
from odx_target.copymgr.commands.extended_copy_list import (
    LID1_FIELDS,
    LID4_FIELDS,
    ExtendedCopyList,
    ListIdUsage,
    decode_list,
)
from odx_target.copymgr.commands.list_identifiers import operation_using
from odx_target.copymgr.commands.parameter_lists import OUT_CDB, ServiceAction
from odx_target.copymgr.commands.request import check_list_length, received_list
from odx_target.copymgr.commands.segments import RemotePlace, Segment, extents_of, segments_of
from odx_target.copymgr.operations.extended_copy_job import ExtendedCopyJob
from odx_target.copymgr.operations.job import ForegroundJob, conclude, ending_for, reply_to
from odx_target.copymgr.refusal import Refusal
from odx_target.copymgr.shared_state import Copies
from odx_target.scsi.command_table import SERVICE_ACTION_BITS, UnitExtents
from odx_target.scsi.extent import Extent
from odx_target.scsi.reply import Reply
from odx_target.scsi.tasks.outcome import Outcome
from odx_target.scsi.tasks.task import Task


def extents_here(copies: Copies, task: Task) -> Sequence[Extent]:
    """Return the blocks of the receiving logical unit that the command touches. Return none if the command will be refused."""
    return extents_of(_expected_segments(copies, task)).get(task.logical_unit, ())


def extents_elsewhere(copies: Copies, task: Task) -> Sequence[UnitExtents]:
    """Return the blocks of other logical units that the command touches. Return none if the command will be refused."""
    found = extents_of(_expected_segments(copies, task))
    return [UnitExtents(*each) for each in found.items() if each[0] is not task.logical_unit]


def requested_bytes(copies: Copies, task: Task) -> int:
    """Return the number of bytes that the segments write. Return 0 if the parameter list will be refused."""
    segments = _expected_segments(copies, task)
    return sum(_requested_bytes(each) for each in segments)


def _requested_bytes(segment: Segment) -> int:
    if isinstance(segment.destination, RemotePlace):
        return segment.size_bytes
    return segment.destination_extent.count_blocks * segment.destination.block_bytes


def extended_copy(copies: Copies, task: Task) -> Outcome:
    """Check the command, and return the pending work that copies its segments."""
    _, list_bytes = OUT_CDB.unpack_from(task.cdb)
    if not list_bytes:
        return Reply()
    service_action = ServiceAction(task.cdb[1] & SERVICE_ACTION_BITS)
    parameters = _received(copies, task, list_bytes)
    header = parameters.header
    running = operation_using(copies, task, header.list_identifier)
    _run_checks(CopyRequest(parameters, copies.limits, running, service_action))
    copies.require_calm()
    copies.require_room(task.nexus)
    operation = copies.begin(
        service_action,
        header.list_identifier,
        0,
        task,
        in_background=False,
        is_identified=header.list_id_usage != ListIdUsage.NO_IDENTIFIER,
    )
    job = ExtendedCopyJob(copies, operation, task)
    try:
        job.set_segments(segments_of(copies, task, parameters))
        job.raise_if_nothing_is_copied()
    except Exception as error:
        ending = ending_for(copies, job, error)
        conclude(copies, job, ending)
        return reply_to(copies, job, ending)
    return ForegroundJob(copies, job)


def _received(copies: Copies, task: Task, list_bytes: int) -> ExtendedCopyList:
    """Decode the parameter list of a command. Raises Refusal if it is shorter than its header."""
    is_lid4 = task.cdb[1] & SERVICE_ACTION_BITS == ServiceAction.EXTENDED_COPY_LID4
    data = received_list(task, list_bytes)
    check_list_length((LID4_FIELDS if is_lid4 else LID1_FIELDS).size_bytes, len(data))
    limits = copies.limits
    most = max(limits.max_cscd_descriptors, limits.max_segment_descriptors) + 1
    return decode_list(data, is_lid4=is_lid4, max_descriptors=most)


def _expected_segments(copies: Copies, task: Task) -> Sequence[Segment]:
    _, list_bytes = OUT_CDB.unpack_from(task.cdb)
    if not list_bytes:
        return ()
    try:
        parameters = _received(copies, task, list_bytes)
        _run_checks(CopyRequest(parameters, copies.limits, None, task.cdb[1] & SERVICE_ACTION_BITS))
        return segments_of(copies, task, parameters).segments
    except Refusal:
        return ()


def _run_checks(request: CopyRequest) -> None:
    for check in EXTENDED_COPY_CHECKS:
        check(request)
