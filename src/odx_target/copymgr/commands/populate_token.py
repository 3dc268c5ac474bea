"""POPULATE TOKEN (SBC-4 5.24): freeze the present content of block ranges, and make a token that represents this content."""

from odx_target.copymgr.commands.list_identifiers import require_free
from odx_target.copymgr.commands.own_turn import wait_for_own_turn
from odx_target.copymgr.commands.parameter_lists import (
    OUT_CDB,
    POPULATE_TOKEN_SHAPE,
    ListFlag,
    PopulateTokenList,
    ServiceAction,
    decode_populate_token,
)
from odx_target.copymgr.commands.request import Request, read_request
from odx_target.copymgr.commands.token_command_checks import POPULATE_TOKEN_CHECKS, run_checks
from odx_target.copymgr.commands.token_data import freeze
from odx_target.copymgr.limits import STEPS_ON_THE_WAY
from odx_target.copymgr.operations.job import Ending, ForegroundJob, conclude, start_in_background
from odx_target.copymgr.operations.operation import CopyOperation, CopyStatus
from odx_target.copymgr.refusal import Refusal
from odx_target.copymgr.shared_state import Copies
from odx_target.copymgr.tokens.format import decode_head
from odx_target.copymgr.tokens.inactivity_timeout import granted_inactivity_timeout_s
from odx_target.copymgr.tokens.referenced_rod import ReferencedRod
from odx_target.copymgr.tokens.rod_source import FrozenRod
from odx_target.copymgr.tokens.rod_token import RodToken
from odx_target.copymgr.tokens.rod_types import RodType
from odx_target.scsi.extent import Extent
from odx_target.scsi.nexus import Nexus
from odx_target.scsi.reply import Reply
from odx_target.scsi.sense import (
    INSUFFICIENT_RESOURCES,
    INSUFFICIENT_RESOURCES_TO_CREATE_ROD_TOKEN,
    SenseKey,
)
from odx_target.scsi.tasks.outcome import Outcome, Waiting, run_unless_aborted
from odx_target.scsi.tasks.task import Task
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.store.api import PoolFull
from odx_target.turns import Steps


def source_extents(task: Task) -> list[Extent]:
    """Return the blocks that a POPULATE TOKEN reads.

    Return no blocks if the parameter list is so short that it will be refused.
    """
    data = b"".join(task.data_out)
    if len(data) < POPULATE_TOKEN_SHAPE.header_bytes:
        return []
    return [Extent(lba, count_blocks, False) for lba, count_blocks in decode_populate_token(data).ranges if count_blocks]


def populate_token(copies: Copies, task: Task) -> Outcome:
    """Check the command, freeze the blocks of its ranges, and make a token.

    The token represents the data at the time of this call, even if the operation ends later. While hosts send commands, the
    token is made in a later turn. Commands that change the blocks and arrive after this command wait for its end.
    """
    list_identifier, list_bytes = OUT_CDB.unpack_from(task.cdb)
    if not list_bytes:
        return Reply()
    request = read_request(copies, task, list_identifier, list_bytes, POPULATE_TOKEN_SHAPE, decode_populate_token)
    run_checks(POPULATE_TOKEN_CHECKS, request)
    if copies.environment.turns.hosts_are_near(task.nexus.connection):
        return Waiting(_populate_in_own_turn, copies, task, request, list_identifier)
    return _populate(copies, task, request, list_identifier)


async def _populate_in_own_turn(copies: Copies, task: Task, request: Request[PopulateTokenList], list_identifier: int) -> Reply:
    await wait_for_own_turn(copies, task, writes=False)
    require_free(copies, task, list_identifier)  # Other commands have run during the wait.
    run_checks(POPULATE_TOKEN_CHECKS, request)
    outcome = _populate(copies, task, request, list_identifier)
    return outcome if isinstance(outcome, Reply) else await run_unless_aborted(task, outcome)


def _populate(copies: Copies, task: Task, request: Request[PopulateTokenList], list_identifier: int) -> Outcome:
    copies.require_calm()
    copies.require_room(task.nexus)
    rod_type = request.rod_types.to_make(bool(request.parameters.flags & ListFlag.RTV), request.parameters.rod_type)
    assert rod_type is not None, "checked before"
    token = _make_token(copies, task.nexus, request, rod_type) if request.total_blocks else None
    in_background = bool(request.parameters.flags & ListFlag.IMMED)
    operation = copies.begin(
        ServiceAction.POPULATE_TOKEN, list_identifier, request.total_blocks, task, in_background=in_background
    )
    job, turns = PopulateJob(copies, operation, token), copies.environment.turns
    if in_background:
        start_in_background(copies, job)
    elif copies.before_step is None and not job.needs_flush and not turns.hosts_are_near(task.nexus.connection):
        conclude(copies, job, Ending(CopyStatus.COMPLETED))
    else:
        return ForegroundJob(copies, job)
    return Reply(transfer_bytes=operation.list_bytes)


class PopulateJob:
    """The work of POPULATE TOKEN after the token has been made: make a persistent token durable, and issue every token, so that
    initiators can use it.

    `token` is None if the ranges of the command contain no blocks.
    """

    def __init__(self, copies: Copies, operation: CopyOperation, token: RodToken | None) -> None:
        self.operation = operation
        self._copies = copies
        self._token = token

    @property
    def needs_flush(self) -> bool:
        return self._token is not None and self._token.is_persistent

    async def work(self) -> Ending:
        await self._copies.environment.turns.next_if_hosts_are_near(self.operation.waiting_connection)
        self.operation.raise_if_ended()
        if self._copies.before_step is not None:
            waiting = self._copies.before_step(self.operation)
            if waiting is not None:
                await waiting
            self.operation.raise_if_ended()
        if self.needs_flush:
            await self._copies.pool.committed()
            await self._copies.pool.flush()
        self.operation.raise_if_ended()
        return Ending(CopyStatus.COMPLETED)

    def close(self, ending: Ending, now_s: float) -> None:
        """Issue the token, or discard it if the operation failed."""
        token = self._token
        if ending.status is not CopyStatus.COMPLETED:
            if token is not None:
                self._copies.tokens.discard(token)
            return
        self.operation.transfer_count_blocks = self.operation.requested_blocks
        self.operation.counter += 1
        if token is not None:
            self.operation.token = token.data
            self._copies.tokens.issue(token, now_s)
            if token.is_persistent:
                self._copies.durable_tokens.touch(token)
            self._copies.counters.tokens_made += 1


def _make_token(copies: Copies, nexus: Nexus, request: Request[PopulateTokenList], rod_type: RodType) -> RodToken:
    """Make a token that initiators cannot use before it is issued. If the token is persistent, store it in the pool. Raises
    Refusal if there is no room.
    """
    logical_unit = request.logical_unit
    require_room_for_token(copies, logical_unit, rod_type)
    now_s = copies.environment.monotonic()
    is_persistent = rod_type is RodType.POINT_IN_TIME_PERSISTENT
    size_bytes = request.total_blocks * logical_unit.block_bytes
    try:
        identifier, data = copies.issuer.make(rod_type, logical_unit, size_bytes, nexus.target_port.device_name)
    except PoolFull as error:
        raise Refusal(INSUFFICIENT_RESOURCES_TO_CREATE_ROD_TOKEN, rule=str(error)) from error
    rod = _rod_of(request, rod_type, durable=is_persistent)
    try:
        token = RodToken(
            identifier=identifier,
            data=data,
            rod_type=rod_type,
            rod=rod,
            creator=decode_head(data).creator,
            inactivity_timeout_s=granted_inactivity_timeout_s(request.parameters.inactivity_timeout_s, copies.limits),
            lifetime_s=copies.limits.max_token_lifetime_s,
            now_s=now_s,
            initiator_name=nexus.initiator_name,
        )
        if is_persistent:
            _remember(copies, token)
    except BaseException:
        rod.release()
        raise
    copies.tokens.add(token)
    if rod_type is RodType.POINT_IN_TIME_CHANGE_VULNERABLE:
        copies.watch.add(token, logical_unit.volume)
    return token


def _rod_of(request: Request[PopulateTokenList], rod_type: RodType, *, durable: bool) -> FrozenRod | ReferencedRod:
    """Freeze the data of the ranges of a command. A token that refers to its source needs no frozen data."""
    ranges, block_bytes = request.parameters.ranges, request.logical_unit.block_bytes
    if rod_type is RodType.ACCESS_UPON_REFERENCE:
        return ReferencedRod.of_ranges(ranges, block_bytes)
    frozen = freeze(request.logical_unit, durable=durable)
    try:
        return FrozenRod.of_ranges(frozen, ranges, block_bytes)
    except BaseException:
        frozen.release()
        raise


def _remember(copies: Copies, token: RodToken) -> None:
    try:
        copies.durable_tokens.put(token)
    except PoolFull as error:
        raise Refusal(INSUFFICIENT_RESOURCES_TO_CREATE_ROD_TOKEN, rule=str(error)) from error


def require_room_for_token(copies: Copies, logical_unit: LogicalUnit, rod_type: RodType) -> None:
    """Raise Refusal (ABORTED COMMAND, INSUFFICIENT RESOURCES) if there is no room for one more token.

    SPC-4 also allows the sense key ILLEGAL REQUEST with the code 55h/0Dh. But Windows does not expect this code with ILLEGAL
    REQUEST, and would send no token commands to the logical unit for minutes. After ABORTED COMMAND, Windows copies only the
    present file by reads and writes, and uses tokens again for the next file.
    """
    if _full(copies, logical_unit, rod_type) is not None:
        copies.expire(copies.environment.monotonic(), Steps(STEPS_ON_THE_WAY))
    full = _full(copies, logical_unit, rod_type)
    if full is not None:
        limit, allowed = full
        raise Refusal(
            INSUFFICIENT_RESOURCES, key=SenseKey.ABORTED_COMMAND, rule="too many tokens are alive", limit=limit, allowed=allowed
        )


def _full(copies: Copies, logical_unit: LogicalUnit, rod_type: RodType) -> tuple[str, int] | None:
    """Return the name and the value of the limit that one more token would exceed. Return None if there is room."""
    limits = copies.limits
    if copies.tokens.is_full:
        return "MAX_TOKENS", limits.max_tokens
    vulnerable = len(copies.watch.tokens_of(logical_unit.volume))
    if rod_type is RodType.POINT_IN_TIME_CHANGE_VULNERABLE and vulnerable >= limits.max_change_vulnerable_tokens:
        return "MAX_CHANGE_VULNERABLE_TOKENS", limits.max_change_vulnerable_tokens
    return None
