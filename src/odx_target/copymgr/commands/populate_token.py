"""POPULATE TOKEN (SBC-4 5.24): freezes ranges as they are now and makes a token for them."""

from typing import TYPE_CHECKING

from odx_target.copymgr.commands.checks import (
    POPULATE_TOKEN_CHECKS,
    Request,
    check_list_identifier,
    check_list_length,
    received_list,
    run_checks,
)
from odx_target.copymgr.commands.parameter_lists import (
    OUT_CDB,
    POPULATE_TOKEN_SHAPE,
    ListFlag,
    ServiceAction,
    decode_populate_token,
)
from odx_target.copymgr.limits import STEPS_ON_THE_WAY
from odx_target.copymgr.operations.job import Ending, ForegroundJob, conclude, start_in_background
from odx_target.copymgr.operations.operation import CopyOperation, CopyStatus
from odx_target.copymgr.refusal import Refusal
from odx_target.copymgr.tokens.format import decode_head
from odx_target.copymgr.tokens.rod_source import FrozenRod
from odx_target.copymgr.tokens.rod_token import RodToken
from odx_target.copymgr.tokens.rod_types import RodType, type_to_make
from odx_target.scsi.extent import Extent
from odx_target.scsi.logical_unit import LogicalUnit
from odx_target.scsi.reply import Reply
from odx_target.scsi.sense import (
    INSUFFICIENT_RESOURCES,
    INSUFFICIENT_RESOURCES_TO_CREATE_ROD,
    INSUFFICIENT_RESOURCES_TO_CREATE_ROD_TOKEN,
    SenseKey,
)
from odx_target.scsi.tasks.outcome import Outcome
from odx_target.scsi.tasks.task import Task
from odx_target.store.api import FrozenMap, PoolFull
from odx_target.turns import Steps

if TYPE_CHECKING:
    from odx_target.copymgr.manager import CopyManager


def source_extents(task: Task) -> list[Extent]:
    """The blocks that a POPULATE TOKEN reads; none of a list that will be refused."""
    data = b"".join(task.data_out)
    if len(data) < POPULATE_TOKEN_SHAPE.header_bytes:
        return []
    return [Extent(lba, count_blocks, False) for lba, count_blocks in decode_populate_token(data).ranges if count_blocks]


def populate_token(manager: "CopyManager", task: Task) -> Outcome:
    """Check, freeze, and make the token. The data are those of this moment, however long the operation then takes."""
    list_identifier, list_bytes = OUT_CDB.unpack_from(task.cdb)
    if not list_bytes:
        return Reply()
    request = _checked(manager, task, list_identifier, list_bytes)
    manager.require_room(task.nexus)
    rod_type = type_to_make(bool(request.flags & ListFlag.RTV), request.rod_type)
    assert rod_type is not None, "checked before"
    token = _make_token(manager, request, rod_type) if request.total_blocks else None
    in_background = bool(request.flags & ListFlag.IMMED)
    operation = manager.begin(
        ServiceAction.POPULATE_TOKEN, list_identifier, request.total_blocks, task, in_background=in_background
    )
    job = PopulateJob(manager, operation, token)
    if in_background:
        start_in_background(manager, job)
    elif manager.before_step is None and not job.needs_flush:
        conclude(manager, job, Ending(CopyStatus.COMPLETED))
    else:
        return ForegroundJob(manager, job)
    return Reply(transfer_bytes=list_bytes)


class PopulateJob:
    """What is left to do once the token is made: wait until a persistent one is durable, then issue it.

    `token` is None where no blocks were asked for: there is nothing to represent, and no token.
    """

    def __init__(self, manager: "CopyManager", operation: CopyOperation, token: RodToken | None) -> None:
        self.operation = operation
        self._manager = manager
        self._token = token

    @property
    def needs_flush(self) -> bool:
        return self._token is not None and self._token.is_persistent

    async def work(self) -> Ending:
        self.operation.raise_if_ended()
        if self._manager.before_step is not None:
            waiting = self._manager.before_step(self.operation)
            if waiting is not None:
                await waiting
            self.operation.raise_if_ended()
        if self.needs_flush:
            await self._manager.pool.committed()
            await self._manager.pool.flush()
        self.operation.raise_if_ended()
        return Ending(CopyStatus.COMPLETED)

    def close(self, ending: Ending, now_s: float) -> None:
        """Issue the token, or take it back."""
        token = self._token
        if ending.status is not CopyStatus.COMPLETED:
            if token is not None:
                self._manager.tokens.discard(token)
            return
        self.operation.transfer_count_blocks = self.operation.requested_blocks
        self.operation.counter += 1
        if token is not None:
            self.operation.token = token.data
            self._manager.tokens.issue(token, now_s)
            if token.is_persistent:
                self._manager.durable_tokens.touch(token)
            self._manager.counters.tokens_made += 1


def _checked(manager: "CopyManager", task: Task, list_identifier: int, list_bytes: int) -> Request:
    data = received_list(task, list_bytes)
    check_list_length(POPULATE_TOKEN_SHAPE, len(data))
    check_list_identifier(list_identifier, is_in_progress=manager.is_in_progress(task, list_identifier))
    parameters = decode_populate_token(data)
    request = Request(
        shape=POPULATE_TOKEN_SHAPE,
        limits=manager.limits,
        logical_unit=task.logical_unit,
        data_length=parameters.data_length,
        flags=parameters.flags,
        range_descriptor_length=parameters.range_descriptor_length,
        ranges=parameters.ranges,
        inactivity_timeout_s=parameters.inactivity_timeout_s,
        rod_type=parameters.rod_type,
        is_own_pool=manager.holds_blocks_of(task.logical_unit),
    )
    run_checks(POPULATE_TOKEN_CHECKS, request)
    return request


def _make_token(manager: "CopyManager", request: Request, rod_type: RodType) -> RodToken:
    """A token that nobody knows yet; of a persistent one the pool knows. Raises Refusal for want of room."""
    logical_unit = request.logical_unit
    _require_room_for_token(manager, logical_unit, rod_type)
    now_s = manager.environment.monotonic()
    is_persistent = rod_type is RodType.POINT_IN_TIME_PERSISTENT
    try:
        identifier, data = manager.issuer.make(rod_type, logical_unit, request.total_blocks * logical_unit.block_bytes)
    except PoolFull as error:
        raise Refusal(INSUFFICIENT_RESOURCES_TO_CREATE_ROD_TOKEN, rule=str(error)) from error
    frozen = _freeze(logical_unit, durable=is_persistent)
    try:
        token = RodToken(
            identifier=identifier,
            data=data,
            rod_type=rod_type,
            rod=FrozenRod.of_ranges(frozen, request.ranges, logical_unit.block_bytes),
            creator=decode_head(data).creator,
            inactivity_timeout_s=_inactivity_timeout_s(manager, request),
            lifetime_s=manager.limits.max_token_lifetime_s,
            now_s=now_s,
        )
        if is_persistent:
            _remember(manager, token)
    except BaseException:
        frozen.release()
        raise
    manager.tokens.add(token)
    if rod_type is RodType.POINT_IN_TIME_CHANGE_VULNERABLE:
        manager.watch.add(token, logical_unit.volume)
    return token


def _inactivity_timeout_s(manager: "CopyManager", request: Request) -> int:
    limits = manager.limits
    asked_s = request.inactivity_timeout_s or limits.default_inactivity_timeout_s
    return max(asked_s, limits.min_inactivity_timeout_s)


def _freeze(logical_unit: LogicalUnit, *, durable: bool) -> FrozenMap:
    try:
        return logical_unit.volume.freeze(durable=durable)
    except PoolFull as error:
        raise Refusal(INSUFFICIENT_RESOURCES_TO_CREATE_ROD, rule=str(error)) from error


def _remember(manager: "CopyManager", token: RodToken) -> None:
    try:
        manager.durable_tokens.put(token)
    except PoolFull as error:
        raise Refusal(INSUFFICIENT_RESOURCES_TO_CREATE_ROD_TOKEN, rule=str(error)) from error


def _require_room_for_token(manager: "CopyManager", logical_unit: LogicalUnit, rod_type: RodType) -> None:
    """ABORTED COMMAND with INSUFFICIENT RESOURCES, not the 55h/0Dh that SPC also offers.

    Windows takes it for what it is and copies this one file by reads and writes. Any other code under ILLEGAL REQUEST is an
    invalid request to it, after which it tries no offload on the logical unit for minutes.
    """
    if _full(manager, logical_unit, rod_type) is not None:
        manager.expire(manager.environment.monotonic(), Steps(STEPS_ON_THE_WAY))
    full = _full(manager, logical_unit, rod_type)
    if full is not None:
        limit, allowed = full
        raise Refusal(
            INSUFFICIENT_RESOURCES, key=SenseKey.ABORTED_COMMAND, rule="too many tokens are alive", limit=limit, allowed=allowed
        )


def _full(manager: "CopyManager", logical_unit: LogicalUnit, rod_type: RodType) -> tuple[str, int] | None:
    """The limit that one more token would pass, and what it is."""
    limits = manager.limits
    if manager.tokens.is_full:
        return "MAXIMUM_TOKENS", limits.max_tokens
    vulnerable = len(manager.watch.tokens_of(logical_unit.volume))
    if rod_type is RodType.POINT_IN_TIME_CHANGE_VULNERABLE and vulnerable >= limits.max_change_vulnerable_tokens:
        return "MAXIMUM_CHANGE_VULNERABLE_TOKENS", limits.max_change_vulnerable_tokens
    return None
