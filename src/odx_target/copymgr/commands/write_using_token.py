"""WRITE USING TOKEN (SBC-4 5.55): write the data that a token represents."""

from odx_target.copymgr.commands.parameter_lists import (
    OUT_CDB,
    WRITE_USING_TOKEN_SHAPE,
    ListFlag,
    ServiceAction,
    decode_write_using_token,
)
from odx_target.copymgr.commands.request import read_request
from odx_target.copymgr.commands.token_access import check_token_access
from odx_target.copymgr.commands.token_command_checks import WRITE_USING_TOKEN_CHECKS, run_checks
from odx_target.copymgr.commands.token_data import check_offset, present_data
from odx_target.copymgr.commands.write_remote_token import write_remote_token
from odx_target.copymgr.operations.job import Ending, ForegroundJob, conclude, ending_for, reply_to, start_in_background
from odx_target.copymgr.operations.write_job import WriteJob
from odx_target.copymgr.shared_state import Copies
from odx_target.copymgr.tokens.rod_source import RodSource
from odx_target.copymgr.tokens.rod_token import RodToken, TokenEnd
from odx_target.scsi.extent import Extent
from odx_target.scsi.reply import Reply
from odx_target.scsi.tasks.outcome import Outcome
from odx_target.scsi.tasks.task import Task


def destination_extents(task: Task) -> list[Extent]:
    """Return the blocks that a WRITE USING TOKEN writes.

    Return no blocks if the parameter list is so short that it will be refused.
    """
    data = b"".join(task.data_out)
    if len(data) < WRITE_USING_TOKEN_SHAPE.header_bytes:
        return []
    return [Extent(lba, count_blocks, True) for lba, count_blocks in decode_write_using_token(data).ranges if count_blocks]


def write_using_token(copies: Copies, task: Task) -> Outcome:
    """Check the command and its token, and write the data. If IMMED is set, the data is written in the background.

    Otherwise the data is written by the returned pending work, or at once if no hosts are near, the rate of copies has no limit
    and no write has to wait.
    """
    list_identifier, list_bytes = OUT_CDB.unpack_from(task.cdb)
    if not list_bytes:
        return Reply()
    request = read_request(copies, task, list_identifier, list_bytes, WRITE_USING_TOKEN_SHAPE, decode_write_using_token)
    run_checks(WRITE_USING_TOKEN_CHECKS, request)
    parameters = request.parameters
    maker = copies.judge.remote_maker(parameters.token)
    if maker is not None:
        copies.require_room(task.nexus)
        return write_remote_token(copies, task, list_identifier, list_bytes, request, maker)
    token = copies.judge.judge(parameters.token, copies.environment.monotonic())
    if token is not None:
        check_token_access(copies, task.nexus, token)
    block_bytes = task.logical_unit.block_bytes
    # the zero token represents endless zeros, so the offset has no meaning and is ignored (Windows sends an offset)
    offset_bytes = 0 if token is None else parameters.offset_into_rod * block_bytes
    check_offset(None if token is None else token.rod.size_bytes, offset_bytes, parameters.offset_into_rod)
    copies.require_room(task.nexus)
    in_background = bool(parameters.flags & ListFlag.IMMED)
    rod = present_data(copies, token)
    operation = copies.begin(
        ServiceAction.WRITE_USING_TOKEN, list_identifier, request.total_blocks, task, in_background=in_background
    )
    use = TokenUse(copies, token, rod, delete=bool(parameters.flags & ListFlag.DEL_TKN))
    job = WriteJob(copies, operation, rod, offset_bytes, parameters.ranges, use.end)
    if in_background:
        start_in_background(copies, job)
        return Reply(transfer_bytes=list_bytes)
    hosts_are_near = copies.environment.turns.hosts_are_near(task.nexus.connection)
    if copies.before_step is not None or copies.copy_rate.bytes_per_s is not None or hosts_are_near:
        return ForegroundJob(copies, job)
    return _run_now(copies, job)


class TokenUse:
    """The use of a token by one command. The command holds a *lease*, which keeps the token from expiring. `token` is None for
    the zero token, which needs no lease and cannot be deleted. `rod` is the data of the token.

    If DEL_TKN is set, the token is deleted when all requested blocks, or all blocks of the token, have been written. If the
    command ends early because its time budget is used up, the token is not deleted, because the initiator continues with the
    same token.
    """

    def __init__(self, copies: Copies, token: RodToken | None, rod: RodSource, *, delete: bool) -> None:
        self._copies = copies
        self._token = token
        self._rod = rod
        self._delete = delete
        if token is not None:
            copies.tokens.lease(token)

    def end(self, is_over: bool, now_s: float) -> None:
        token = self._token
        if token is None:
            return
        if self._rod is not token.rod:
            self._rod.release()
        tokens = self._copies.tokens
        if self._delete and is_over:
            tokens.finish(token, TokenEnd.DELETED, now_s)
        tokens.give_back(token, now_s)
        if token.is_persistent and token.end is None:
            self._copies.durable_tokens.touch(token)


def _run_now(copies: Copies, job: WriteJob) -> Outcome:
    ending: Ending | None = None
    try:
        if job.work_now():
            ending = job.ending()
    except Exception as error:
        ending = ending_for(copies, job, error)
    if ending is None:
        return ForegroundJob(copies, job)
    conclude(copies, job, ending)
    return reply_to(copies, job, ending)
