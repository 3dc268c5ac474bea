"""The copy manager of an array. All sessions, logical units and ports of an array share one copy manager.

A token that was made through one nexus may be used through any nexus and on any logical unit. A list identifier is valid only
for the nexus and the logical unit of the command that sent it.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from odx_target.copymgr.commands.extended_copy import requested_bytes
from odx_target.copymgr.commands.parameter_lists import COPY_CDBS, EXTENDED_COPIES, Lid1Receive, ServiceAction
from odx_target.copymgr.commands.populate_token import source_extents
from odx_target.copymgr.commands.rows import command_rows
from odx_target.copymgr.commands.third_party_copy_page import THIRD_PARTY_COPY, third_party_copy_page
from odx_target.copymgr.commands.write_using_token import destination_extents
from odx_target.copymgr.limits import CopyLimits, CopyOptions
from odx_target.copymgr.refusal_log import NOT_BEGUN, Progress
from odx_target.copymgr.shared_state import Copies
from odx_target.copymgr.status import operation_data, token_data
from odx_target.copymgr.tokens.adopted import name_in_key, name_of, prefix_of
from odx_target.copymgr.tokens.format import creator_identity
from odx_target.copymgr.tokens.rod_token import RodToken, TokenEnd
from odx_target.copymgr.tokens.table import STEPS_OF_A_TOKEN
from odx_target.environment import Environment
from odx_target.scsi.command_table import SERVICE_ACTION_BITS, CommandRow
from odx_target.scsi.device_server import DeviceServer
from odx_target.scsi.extent import Extent
from odx_target.scsi.failures import BUSY_FAILURES
from odx_target.scsi.nexus import Nexus
from odx_target.scsi.sense import CheckCondition, SenseKey
from odx_target.scsi.tasks.task import Task
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.store.api import Pool, StoreError

_SERVICE_ACTIONS = {(operation_code, int(action)): action for action, operation_code, _, _ in COPY_CDBS}
"""The copy commands by their operation codes and service actions."""


def _bytes_of(extents: Callable[[Task], Sequence[Extent]]) -> Callable[[Copies, Task], int]:
    return lambda _, task: sum(extent.count_blocks for extent in extents(task)) * task.logical_unit.block_bytes


_REQUESTED_BYTES: Mapping[ServiceAction | Lid1Receive, Callable[[Copies, Task], int]] = {
    ServiceAction.POPULATE_TOKEN: _bytes_of(source_extents),
    ServiceAction.WRITE_USING_TOKEN: _bytes_of(destination_extents),
    **dict.fromkeys(EXTENDED_COPIES, requested_bytes),
}
"""Functions that return the bytes that a command asks the array to copy."""


class CopyManager:
    """The copy manager of one pool, with the tokens and copy operations of this pool.

    Add the rows of `commands()` to the command table of the device server, attach the logical units, and await `start` before
    the first command. Await `expire_in_turns` from time to time, to release the resources of expired tokens and records.
    Commands do not depend on these calls: a command compares the expiry time of a token or record with the clock.
    """

    def __init__(
        self, pool: Pool, environment: Environment, limits: CopyLimits | None = None, options: CopyOptions | None = None
    ) -> None:
        self.copies = Copies(pool, environment, limits, options)
        """The state that the commands and the copy operations share."""

    def commands(self) -> list[CommandRow]:
        """Return the rows for the command table."""
        return command_rows(self.copies)

    def connect(self, server: DeviceServer) -> None:
        """Learn from a device server of lost and preempted nexuses, and of copy commands that were refused."""
        server.on_nexus_loss.append(self.nexus_lost)
        server.on_preempt_and_abort.append(self.nexus_preempted)
        server.on_failure = self.command_failed

    async def start(self) -> None:
        """Load the persistent tokens from the pool.

        Raises PoolFull or PoolFailed if a new pool cannot store its secret.
        """
        self.copies.issuer.open()
        for token in self.copies.durable_tokens.load():
            if not self.copies.issuer.is_genuine(token.data):  # of the pool that this pool was copied from
                self.copies.durable_tokens.remove(token)
                token.rod.release()
                continue
            self.copies.tokens.add(token)
            used_at_s = token.used_at_s
            self.copies.tokens.issue(token, used_at_s)
        await self.expire_in_turns(self.copies.pool.commit)
        self.copies.pool.commit()
        await self.copies.pool.flush()

    def adopt(self, group: str) -> None:
        """Accept the persistent tokens of the other member of a group, whose primary this array is now.

        Tokens stay unknown if the pool has no room for a count of the start, or has failed.
        """
        copies = self.copies
        with suppress(StoreError):
            for token in copies.durable_tokens.load_adopted(prefix_of(group), copies.issuer.next_identifier):
                copies.tokens.adopt(name_of(token.data), token)

    def disown(self, group: str) -> None:
        """Accept the tokens of the other member of a group no more, because that one is the primary now."""
        for key in self.copies.pool.remembered_keys(prefix_of(group)):
            name = name_in_key(self.copies.pool, group, key)
            token = None if name is None else self.copies.tokens.leave(name)
            if token is not None:
                self.copies.durable_tokens.leave(token)

    def token_used(self, name: bytes) -> None:
        """Note that the primary of a group has used a token, which this array may have made."""
        token = self._token_named(name)
        if token is not None:
            token.used_at_s = self.copies.environment.monotonic()

    def token_ended(self, name: bytes) -> bool:
        """End a token that has ended at the primary of a group. Returns True if it was alive here."""
        token = self._token_named(name)
        if token is not None:
            self.copies.cancel(token)
        return token is not None

    def _token_named(self, name: bytes) -> RodToken | None:
        if name.startswith(self.copies.issuer.maker):
            identifier = int.from_bytes(name[len(self.copies.issuer.maker) :], "big")
        else:
            identifier = self.copies.tokens.adopted.get(name, 0)
        return self.copies.tokens.live.get(identifier)

    def attach_logical_unit(self, logical_unit: LogicalUnit) -> None:
        """Enable third-party copy on a logical unit. Does nothing if the logical unit is already attached."""
        if logical_unit in self.copies.logical_units:
            return
        self.copies.logical_units.add(logical_unit)
        self.copies.units_by_identity[logical_unit.identity] = logical_unit
        logical_unit.third_party_copy = True
        logical_unit.added_vpd_pages[THIRD_PARTY_COPY] = lambda unit, _port: third_party_copy_page(
            unit, self.copies.limits, self.copies.options, accepts_remote=self.copies.accepts_remote
        )
        logical_unit.on_reset.append(self.logical_unit_reset)
        logical_unit.on_sanitize.append(self.logical_unit_sanitized)

    def detach_logical_unit(self, logical_unit: LogicalUnit) -> None:
        """Remove a logical unit and end its operations. Tokens for its blocks stay valid, except change-vulnerable tokens."""
        if logical_unit not in self.copies.logical_units:
            return
        self.logical_unit_reset(logical_unit)
        self.copies.logical_units.remove(logical_unit)
        self.copies.remote_logical_units.discard(logical_unit)
        self.copies.units_by_identity.pop(logical_unit.identity, None)
        logical_unit.third_party_copy = False
        logical_unit.added_vpd_pages.pop(THIRD_PARTY_COPY, None)
        logical_unit.on_reset.remove(self.logical_unit_reset)
        logical_unit.on_sanitize.remove(self.logical_unit_sanitized)
        for token in self.copies.watch.tokens_of(logical_unit.volume):
            self.copies.cancel(token)

    def logical_unit_reset(self, logical_unit: LogicalUnit) -> None:
        """Handle a logical unit reset (SPC-4 5.16.4.5): end the operations and remove the records of the logical unit. Tokens
        stay valid.
        """
        for operation in [each for each in self.copies.operations if each.logical_unit is logical_unit]:
            self.copies.terminate(operation)
        self.copies.records.drop_logical_unit(logical_unit)

    async def logical_unit_sanitized(self, logical_unit: LogicalUnit) -> None:
        """Handle the begin of a sanitize operation: end the operations of the logical unit, and all tokens for its data."""
        for operation in [each for each in self.copies.operations if each.logical_unit is logical_unit]:
            self.copies.terminate(operation)
        turns = self.copies.environment.turns
        for identifier in self.copies.tokens.identifiers():
            turns.take()
            await turns.next_if_spent()
            token = self.copies.tokens.live.get(identifier)
            if token is not None and creator_identity(token.creator) == logical_unit.identity:
                turns.take(STEPS_OF_A_TOKEN)
                self.copies.cancel(token)

    def nexus_lost(self, nexus: Nexus) -> None:
        """Handle an I_T nexus loss: end foreground operations and remove all records of the nexus.

        Background operations continue.
        """
        for operation in [each for each in self.copies.operations if each.nexus is nexus and each.task is not None]:
            self.copies.terminate(operation)
        self.copies.records.drop_nexus(nexus)

    def nexus_preempted(self, nexus: Nexus, logical_unit: LogicalUnit) -> None:
        """Handle PREEMPT AND ABORT: end all operations of the nexus on the logical unit (SPC-4 5.13.11.2.6)."""
        for operation in [each for each in self.copies.operations if (each.nexus, each.logical_unit) == (nexus, logical_unit)]:
            self.copies.terminate(operation)

    def command_failed(self, task: Task, error: Exception) -> None:
        """Store the reason why a copy command was refused. Hosts repeat other commands: those that end with BUSY or with a unit
        attention, and have not begun.
        """
        cdb = task.cdb
        service_action = _SERVICE_ACTIONS.get((cdb[0], cdb[1] & SERVICE_ACTION_BITS)) if len(cdb) > 1 else None
        is_repeated = isinstance(error, BUSY_FAILURES) or (
            isinstance(error, CheckCondition) and error.sense_key is SenseKey.UNIT_ATTENTION
        )
        if service_action is not None and not is_repeated:
            unit = task.logical_unit
            lun_name = unit.volume.name if unit.is_present else str(task.lun)
            progress = NOT_BEGUN
            if unit.is_present and service_action in _REQUESTED_BYTES:
                with suppress(CheckCondition, MemoryError):  # the parameter list may be the reason
                    progress = Progress(_REQUESTED_BYTES[service_action](self.copies, task))
            self.copies.note_refusal(task.nexus.initiator_name, lun_name, service_action, error, progress)

    def revoke(self, identifier: int) -> bool:
        """Revoke a token for an operator. Return False if there is no token with this identifier."""
        token = self.copies.tokens.live.get(identifier)
        if token is None:
            return False
        self.copies.tokens.finish(token, TokenEnd.REVOKED, self.copies.environment.monotonic())
        return True

    async def expire_in_turns(self, commit: Callable[[], object]) -> None:
        """Remove expired tokens and records in several turns of the event loop.

        This method calls `commit` in each turn. The caller gets an exception that `commit` raises.
        """
        turns = self.copies.environment.turns
        await turns.next_if_spent()
        while self.copies.expire(self.copies.environment.monotonic(), turns):
            commit()
            await turns.next()
        commit()

    def next_expiry(self) -> float | None:
        """Return the earliest monotonic time at which a token or record may expire.

        Return None if nothing is going to expire.
        """
        times = [
            time_s for time_s in (self.copies.tokens.next_expiry(), self.copies.records.next_expiry()) if time_s is not None
        ]
        return min(times, default=None)

    def status(self) -> dict[str, object]:
        """Return the tokens, operations, counters and latest refusals as plain data."""
        now_s = self.copies.environment.monotonic()
        return {
            "tokens": [token_data(token, now_s) for token in self.copies.tokens.issued()],
            "tokens_ended": {end.name.lower(): count for end, count in self.copies.tokens.ended.items()},
            "tombstones": len(self.copies.tokens.tombstones),
            "copy_rate_bytes_per_s": self.copies.copy_rate.bytes_per_s,
            "operations": [operation_data(operation, now_s) for operation in self.copies.operations],
            "records": len(self.copies.records),
            "record_bytes": self.copies.records.total_bytes,
            "records_evicted": self.copies.records.evictions,
            "damaged_durable_tokens": self.copies.durable_tokens.damaged,
            "counters": self.copies.counters.as_data(),
            "refusal_counts": self.copies.refusals.counts,
            "latest_refusals": self.copies.refusals.latest,
        }
