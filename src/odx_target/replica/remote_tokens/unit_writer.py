"""Serves the request of a peer to write a logical unit of this array by a token of the peer.

The request is executed as a WRITE USING TOKEN of the host that has sent the EXTENDED COPY to the peer: with the LUNs, the
reservations, the order of tasks, the time limit and the sense data of any host. Only the nexus is another one.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from odx_target.copymgr.commands.parameter_lists import OUT_CDB, THIRD_PARTY_COPY_OUT, ServiceAction, encode_write_using_token
from odx_target.copymgr.operations.operation import CopyStatus
from odx_target.copymgr.shared_state import UNREACHABLE_CONDITIONS, Copies
from odx_target.copymgr.tokens.format import maker_of
from odx_target.environment import Environment
from odx_target.replica.link.bounded_json import Json
from odx_target.replica.link.messages import read_message
from odx_target.replica.paths.exchange import Exchange, RequestDenied
from odx_target.replica.paths.path import Path
from odx_target.replica.remote_tokens.limits import CHECK_INTERVAL_S
from odx_target.replica.remote_tokens.messages import (
    ABSENT_UNIT,
    MAX_SENSE_BYTES,
    TOKEN_CODES,
    UNIT_CODES,
    WRITE_FIELDS,
    token_in,
)
from odx_target.scsi.nexus import Nexus
from odx_target.scsi.reply import Reply
from odx_target.scsi.tasks.outcome import Outcome
from odx_target.scsi.tasks.task import Task
from odx_target.scsi.tasks.task_attribute import TaskAttribute
from odx_target.scsi.unit.logical_unit import LogicalUnit

NexusOf = Callable[[str, LogicalUnit], Nexus | None]
"""Returns a new nexus through which an initiator reaches a logical unit, or None if it has no LUN for it."""

LIST_IDENTIFIER = 1
TAG = 0
"""List identifier and tag of the command. Each command has a nexus of its own, so they need not differ."""

TOKEN_INVALID_ASCQ = 0x00
DESCRIPTOR_FORMAT = b"\x72"
"""First byte of sense data in descriptor format."""


class Executor(Protocol):
    """The device server, as far as it is needed here."""

    def execute(
        self, nexus: Nexus, lun: int, cdb: bytes, data_out: list[memoryview], attribute: int, tag: int
    ) -> tuple[Task, Outcome]: ...

    def abort_task(self, nexus: Nexus, lun: int, tag: int) -> bool: ...


class UnitWriter:
    """Serves `write-unit`. `environment` has the time of the links."""

    def __init__(self, copies: Copies, server: Executor, nexus_of: NexusOf, environment: Environment) -> None:
        self._copies = copies
        self._server = server
        self._nexus_of = nexus_of
        self._environment = environment

    async def serve_write(self, path: Path, exchange: Exchange, document: Mapping[str, Json]) -> None:
        """Write blocks by a token of the peer. Raises RequestDenied, ChannelEnded and PeerFault."""
        found = read_message(WRITE_FIELDS, document)
        token = token_in(found.texts("token"))
        unit = self._copies.units_by_identity.get(found.content("unit"))
        nexus = None if unit is None else self._nexus_of(found.text("initiator"), unit)
        lun = None if unit is None or nexus is None else nexus.lun_of(unit)
        if unit is None or nexus is None or lun is None:
            raise RequestDenied(ABSENT_UNIT, UNIT_CODES[ABSENT_UNIT])
        if unit.block_bytes != found.number("block_bytes"):
            raise RequestDenied("block-length", UNIT_CODES["block-length"])
        if unit.group is not None:
            raise _in_group()
        if maker_of(token) != path.settings.peer_maker:
            raise RequestDenied(TOKEN_CODES[TOKEN_INVALID_ASCQ], "the token is not from the peer")
        ranges = [(found.number("first"), found.number("count"))]
        parameters = encode_write_using_token(token, ranges, offset_into_rod=found.number("offset"))
        try:
            reply = await self._executed(exchange, nexus, lun, parameters)
            operation = self._copies.records.find(nexus, unit, LIST_IDENTIFIER)
            exchange.answer(
                {
                    "blocks": 0 if operation is None else operation.transfer_count_blocks,
                    "is_partial": int((operation is not None and operation.status is CopyStatus.PARTIAL) or _is_late(reply)),
                    "status": reply.status,
                    "sense": reply.sense[:MAX_SENSE_BYTES].hex(),
                }
            )
        finally:
            self._copies.records.drop_nexus(nexus)

    async def _executed(self, exchange: Exchange, nexus: Nexus, lun: int, parameters: bytes) -> Reply:
        """Execute WRITE USING TOKEN. If the peer closes the channel, or the link is lost, the command is aborted.

        Raises RequestDenied if nobody waits any more, or if the logical unit has joined a group meanwhile.
        """
        cdb = bytearray(16)
        OUT_CDB.pack_into(cdb, 0, LIST_IDENTIFIER, len(parameters))
        cdb[0], cdb[1] = THIRD_PARTY_COPY_OUT, ServiceAction.WRITE_USING_TOKEN
        data_out = [memoryview(bytearray(parameters))]
        if not exchange.is_open:
            raise RequestDenied("absent", "the peer has given up the request")
        task, outcome = self._server.execute(nexus, lun, bytes(cdb), data_out, TaskAttribute.SIMPLE, TAG)
        if not isinstance(outcome, Reply):
            watch = _Watch(exchange, lambda: self._server.abort_task(nexus, lun, TAG))
            self._environment.start_soon(watch.run, self._environment)
            try:
                outcome = await outcome.run()
            finally:
                watch.has_ended = True
        await self._copies.pool.committed()
        if task.gates:  # The logical unit has joined a group meanwhile.
            raise _in_group()
        return outcome


def _in_group() -> RequestDenied:
    """Refuse a command whose reply would have to wait for the other member of a group: only transports keep replies."""
    return RequestDenied("group", UNIT_CODES["group"])


def _is_late(reply: Reply) -> bool:
    """True if the command has ended because no data has arrived in its time."""
    at = 2 if reply.sense[:1] == DESCRIPTOR_FORMAT else 12
    code = tuple(reply.sense[at : at + 2])
    return any(code == (each.asc, each.ascq) for each in UNREACHABLE_CONDITIONS.values())


class _Watch:
    """Aborts a command when the peer does not wait for it any more."""

    def __init__(self, exchange: Exchange, abort: Callable[[], object]) -> None:
        self.has_ended = False
        self._exchange = exchange
        self._abort = abort

    async def run(self, environment: Environment) -> None:
        while not self.has_ended:
            if not self._exchange.is_open:
                self._abort()
                return
            await environment.sleep(CHECK_INTERVAL_S)
