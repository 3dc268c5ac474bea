"""Collecting the data of writes: immediate, unsolicited, and requested by R2T (RFC 7143 4.2.4.2, 11.7, 11.8).

Data arrives in order, because DataPDUInOrder and DataSequenceInOrder are Yes. Therefore one number per command is enough to
count its data. A *burst* is a sequence of Data-Out PDUs that ends with the F bit. If the F bit of the command is 0, the
unsolicited burst comes first. Then comes one burst per R2T. Several R2Ts may be open; their bursts arrive in the order of the
R2Ts.

Memory is claimed before data arrives. Memory for unsolicited data is claimed when the command arrives. If there is not enough
memory, the command ends with TASK SET FULL. Memory for requested data is claimed before the first R2T. If there is not enough
memory, the command waits, and so do the commands after it. No memory is claimed for a command that arrives with all its data.

A command that has failed is answered when all its open bursts have ended, as the RFC requires. The LUN of a Data-Out is
ignored: the tags identify the task, and Windows does not set the LUN reliably.
"""

from collections import deque
from collections.abc import Callable

from odx_target.iscsi import limits
from odx_target.iscsi.negotiation.keys import Parameters
from odx_target.iscsi.pdu.header import FINAL
from odx_target.iscsi.pdu.opcodes import NO_TAG, RejectReason
from odx_target.iscsi.pdu.requests import SCSI_DATA_OUT
from odx_target.iscsi.pdu.scsi_responses import ReadyToTransfer
from odx_target.iscsi.session.collection import Burst, Collection
from odx_target.iscsi.session.command_failures import (
    INCORRECT_AMOUNT_OF_DATA,
    NO_MEMORY,
    PROTOCOL_SERVICE_CRC_ERROR,
    UNEXPECTED_UNSOLICITED_DATA,
    WRONG_DIRECTION,
    Failure,
)
from odx_target.iscsi.session.connection_timers import AwaitedData
from odx_target.iscsi.session.events import CommandAccepted, CommandEnded, CommandReady, Event, PduRefused
from odx_target.iscsi.session.session_memory import SessionMemory
from odx_target.iscsi.session.writer import PduWriter


class DataOutCollector:
    """Collects data for the commands of one connection.

    `emit` is called with a command whose data is complete. If data is missing when the command arrives, `emit` is first called
    with CommandAccepted. `failed` is called with a command that fails. When memory becomes available for a waiting command,
    R2Ts are added to the output and `has_output` is called.
    """

    def __init__(
        self,
        writer: PduWriter,
        parameters: Parameters,
        emit: Callable[[Event], None],
        failed: Callable[[CommandReady, Failure], None],
        memory: SessionMemory,
        has_output: Callable[[], None],
    ) -> None:
        self._writer = writer
        self._parameters = parameters
        self._emit = emit
        self._failed = failed
        self._unsolicited = memory.unsolicited
        self._written = memory.written
        self._has_output = has_output
        self._claim: object | None = None  # of the first command that waits
        self._collections: dict[int, Collection] = {}
        self._data_has_come = False
        self._waiting: deque[Collection] = deque()
        self.collected_bytes = 0
        """Memory claimed for data requested by R2T. Each command keeps its part until it is answered."""

    def begin(self, command: CommandReady, final: bool, data: memoryview) -> None:
        """Start to collect the data of a command. The command has the W bit or immediate data. `final` is the F bit of the
        command, and `data` is its immediate data.
        """
        parameters = self._parameters
        size_bytes = len(data)
        if (
            final
            and 0 < size_bytes == command.expected_data_transfer_length
            and size_bytes <= parameters.first_burst_length
            and parameters.immediate_data
            and command.writes
            and not command.reads
        ):  # the hot path: all data is here
            command.data_out = (data,)
            self._emit(command)
            return
        expected = command.expected_data_transfer_length if command.writes else 0
        collection = Collection(command, min(expected, limits.MAX_TRANSFER_BYTES))
        unsolicited_limit = min(parameters.first_burst_length, expected)
        more_follows = command.writes and not final
        if command.reads and command.writes:
            collection.failure = WRONG_DIRECTION
        elif (size_bytes and not (command.writes and parameters.immediate_data)) or (more_follows and parameters.initial_r2t):
            collection.failure = UNEXPECTED_UNSOLICITED_DATA
        elif size_bytes > unsolicited_limit:
            collection.failure = INCORRECT_AMOUNT_OF_DATA
        else:
            collection.received = collection.requested = size_bytes
            if size_bytes == expected and final:  # no more data is expected
                self._emit(command)
                return
            unsolicited_bytes = unsolicited_limit if more_follows else size_bytes
            if not self._unsolicited.take(unsolicited_bytes):
                collection.failure = NO_MEMORY
            else:
                command.unsolicited_bytes = unsolicited_bytes
                if size_bytes:
                    collection.keep(data)
        self._collections[command.initiator_task_tag] = collection
        if collection.failure is None:
            collection.is_accepted = True
            command.awaits_memory = True
            self._emit(CommandAccepted(command))
        if more_follows:
            collection.bursts.append(Burst(NO_TAG, unsolicited_limit))
        else:
            self._go_on(collection)

    def receive(self, view: memoryview, at: int, data: memoryview) -> None:
        """Process the Data-Out PDU whose header is at `at`. Raises PduRefused."""
        _, flags, _, _, tag, transfer_tag, _, data_sn, offset = SCSI_DATA_OUT.unpack_from(view, at)
        collection = self._collections.get(tag)
        if collection is None:
            return
        burst = self._burst_of(collection, transfer_tag)
        if burst is None:
            return
        final = flags & FINAL != 0
        self._data_has_come = True
        if not collection.failure:
            self._take(collection, burst, data_sn, offset, data, final)
        burst.data_sn += 1
        if final:
            self._end_burst(collection, burst)

    def lose(self, view: memoryview, at: int, failure: Failure) -> None:
        """Drop the data of the Data-Out PDU whose header is at `at`, and fail its command. The PDU counts as received. Raises
        PduRefused.
        """
        tag, transfer_tag = SCSI_DATA_OUT.unpack_from(view, at)[4:6]
        collection = self._collections.get(tag)
        if collection is not None and self._burst_of(collection, transfer_tag) is not None:
            collection.failure = collection.failure or failure
            self.receive(view, at, view[:0])

    def awaited_data(self) -> AwaitedData:
        """Return whether open bursts wait for data, and whether any data has arrived since the last call."""
        comes, self._data_has_come = self._data_has_come, False
        if not any(collection.bursts for collection in self._collections.values()):
            return AwaitedData.NONE
        return AwaitedData.COMES if comes else AwaitedData.STAYS_AWAY

    def _burst_of(self, collection: Collection, transfer_tag: int) -> Burst | None:
        bursts = collection.bursts
        if bursts and bursts[0].transfer_tag == transfer_tag:
            return bursts[0]
        if transfer_tag == NO_TAG:
            collection.failure = collection.failure or UNEXPECTED_UNSOLICITED_DATA
        elif any(burst.transfer_tag == transfer_tag for burst in bursts):
            raise PduRefused(RejectReason.PROTOCOL_ERROR, "Data-Out answers R2Ts out of order", fatal=True)
        return None

    def _take(self, collection: Collection, burst: Burst, data_sn: int, offset: int, data: memoryview, final: bool) -> None:
        if data_sn != burst.data_sn:
            collection.failure = PROTOCOL_SERVICE_CRC_ERROR
            return
        if offset != collection.received:
            detail = f"Data-Out goes on at {offset} instead of {collection.received}"
            raise PduRefused(RejectReason.PROTOCOL_ERROR, detail, fatal=True)
        if offset + len(data) > burst.end:
            collection.failure = INCORRECT_AMOUNT_OF_DATA
            return
        collection.received += len(data)
        if final and collection.received == collection.wanted:
            collection.pieces.append(data)  # the command is delivered at once, so its last piece need not be copied
        else:
            collection.keep(data)

    def _end_burst(self, collection: Collection, burst: Burst) -> None:
        collection.bursts.popleft()
        command = collection.command
        first_burst = self._parameters.first_burst_length
        short = collection.received != burst.end
        if burst.transfer_tag == NO_TAG:
            collection.requested = collection.received
            # A command with more data than the first burst must fill the burst. Other commands may send less (11.4.7.2).
            short = short and command.expected_data_transfer_length > first_burst
        if short and not collection.failure:
            collection.failure = INCORRECT_AMOUNT_OF_DATA
        self._go_on(collection)

    def _go_on(self, collection: Collection) -> None:
        """Do the next step for a command: deliver it, fail it, or request more data."""
        command = collection.command
        if collection.failure:
            if not collection.bursts:
                self._end(collection)
                self._failed(command, collection.failure)
        elif collection.received == collection.wanted:
            self._forget(collection)
            command.data_out = collection.pieces
            self._emit(command)
        elif command.collected_bytes:
            self._ask(collection)
        else:
            self._waiting.append(collection)
            self._serve_waiting()

    def _serve_waiting(self) -> None:
        """Claim memory for waiting commands in order. Each command gets memory for all its missing data at once, so that it can
        finish.
        """
        while self._waiting and self._claim is None:
            missing = self._missing_bytes(self._waiting[0])
            if self.collected_bytes + missing > limits.MAX_COLLECTED_BYTES:
                return
            if not self._written.take(missing):
                self._claim = self._written.wait(missing, self._granted)
                return
            self._begin_asking(missing)

    def _granted(self) -> None:
        self._claim = None
        self._begin_asking(self._missing_bytes(self._waiting[0]))
        self._serve_waiting()
        self._has_output()

    def _begin_asking(self, missing: int) -> None:
        collection = self._waiting.popleft()
        self.collected_bytes += missing
        collection.command.collected_bytes = missing
        collection.command.awaits_memory = False
        self._ask(collection)

    def _missing_bytes(self, collection: Collection) -> int:
        return collection.wanted - collection.received

    def _ask(self, collection: Collection) -> None:
        """Send as many R2Ts as MaxOutstandingR2T allows."""
        parameters = self._parameters
        while len(collection.bursts) < parameters.max_outstanding_r2t and collection.requested < collection.wanted:
            self._send_r2t(collection, min(parameters.max_burst_length, collection.wanted - collection.requested))

    def _send_r2t(self, collection: Collection, length: int) -> None:
        command = collection.command
        transfer_tag = self._writer.new_transfer_tag()
        self._writer.send(
            ReadyToTransfer(
                lun=command.lun_field,
                initiator_task_tag=command.initiator_task_tag,
                target_transfer_tag=transfer_tag,
                r2t_sn=command.count_r2t,
                buffer_offset=collection.requested,
                desired_data_transfer_length=length,
            ),
            status=False,
        )
        command.count_r2t += 1
        collection.requested += length
        collection.bursts.append(Burst(transfer_tag, collection.requested))

    def release(self, command: CommandReady) -> None:
        """Give back the memory of a command that is answered or aborted, unless the connection server still uses the data."""
        if command.is_kept or not (command.unsolicited_bytes or command.collected_bytes):
            return
        unsolicited_bytes, command.unsolicited_bytes = command.unsolicited_bytes, 0
        collected_bytes, command.collected_bytes = command.collected_bytes, 0
        self.collected_bytes -= collected_bytes
        if unsolicited_bytes:
            self._unsolicited.give_back(unsolicited_bytes)
        if collected_bytes:
            self._written.give_back(collected_bytes)
        self._serve_waiting()

    def abort(self, command: CommandReady) -> bool:
        """Stop collecting the data of a command. Returns False if all its data has already arrived."""
        collection = self._collections.get(command.initiator_task_tag)
        if collection is None or collection.command is not command:
            return False
        self._end(collection)
        return True

    def stop(self) -> None:
        """Request no more data, because the connection ends."""
        self._waiting.clear()
        self._withdraw()

    def _end(self, collection: Collection) -> None:
        """End a command before all its data has arrived."""
        self._forget(collection)
        if collection.is_accepted:
            self._emit(CommandEnded(collection.command))

    def _forget(self, collection: Collection) -> None:
        del self._collections[collection.command.initiator_task_tag]
        if collection in self._waiting:
            if collection is self._waiting[0]:
                self._withdraw()
            self._waiting.remove(collection)
            self._serve_waiting()

    def _withdraw(self) -> None:
        if self._claim is not None:
            claim, self._claim = self._claim, None
            self._written.withdraw(claim)
