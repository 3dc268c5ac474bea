"""The copy manager of an array: one for all its sessions, logical units and ports.

A token made through one nexus may be used through every other and on every logical unit. A list identifier belongs to the
nexus and the logical unit that it was used with.
"""

from collections.abc import Callable

from odx_target.copymgr.commands.rows import command_rows
from odx_target.copymgr.commands.third_party_copy_page import THIRD_PARTY_COPY, third_party_copy_page
from odx_target.copymgr.copies import Copies
from odx_target.copymgr.status import operation_data, token_data
from odx_target.copymgr.tokens.rod_token import TokenEnd
from odx_target.scsi.command_table import CommandRow
from odx_target.scsi.logical_unit import LogicalUnit
from odx_target.scsi.nexus import Nexus


class CopyManager(Copies):
    """The tokens and copy operations over one pool, offered to a device server.

    Give `commands()` to the device server, attach the logical units, and await `start` before the first command. `expire` is
    called now and then to give back what is over, in pieces; whether something is over is judged by the clock when it is used.
    """

    def commands(self) -> list[CommandRow]:
        """The rows for the command table."""
        return command_rows(self)

    async def start(self) -> None:
        """Load the persistent tokens. Raises PoolFull, PoolFailed if not even the secret can be kept."""
        self.issuer.open()
        for token in self.durable_tokens.load():
            self.tokens.add(token)
            used_at_s = token.used_at_s
            self.tokens.issue(token, used_at_s)
        await self.expire_in_turns(self.pool.commit)
        self.pool.commit()
        await self.pool.flush()

    def attach_logical_unit(self, logical_unit: LogicalUnit) -> None:
        """Offer third-party copy on a logical unit; does nothing the second time."""
        if logical_unit in self.logical_units:
            return
        self.logical_units.append(logical_unit)
        self.identities.add(logical_unit.identity)
        logical_unit.third_party_copy = True
        logical_unit.added_vpd_pages[THIRD_PARTY_COPY] = lambda unit: third_party_copy_page(unit, self.limits, self.options)
        logical_unit.on_reset.append(self.logical_unit_reset)

    def detach_logical_unit(self, logical_unit: LogicalUnit) -> None:
        """Remove a logical unit: its operations end. Its tokens stay, except those that are change vulnerable."""
        if logical_unit not in self.logical_units:
            return
        self.logical_unit_reset(logical_unit)
        self.logical_units.remove(logical_unit)
        self.remote_logical_units.discard(logical_unit)
        self.identities.discard(logical_unit.identity)
        logical_unit.third_party_copy = False
        logical_unit.added_vpd_pages.pop(THIRD_PARTY_COPY, None)
        logical_unit.on_reset.remove(self.logical_unit_reset)
        for token in self.watch.tokens_of(logical_unit.volume):
            self.cancel(token)

    def logical_unit_reset(self, logical_unit: LogicalUnit) -> None:
        """Logical unit reset (SPC-4 5.16.4.5): operations end, records are gone, tokens live on."""
        for operation in [each for each in self.operations if each.logical_unit is logical_unit]:
            self.terminate(operation)
        self.records.drop_logical_unit(logical_unit)

    def nexus_lost(self, nexus: Nexus) -> None:
        """I_T nexus loss: commands end; background operations go on, but their records are gone."""
        for operation in [each for each in self.operations if each.nexus is nexus and each.task is not None]:
            self.terminate(operation)
        self.records.drop_nexus(nexus)

    def nexus_preempted(self, nexus: Nexus, logical_unit: LogicalUnit) -> None:
        """PREEMPT AND ABORT: operations end as by COPY OPERATION ABORT, in the background too (SPC-4 5.13.11.2.6)."""
        for operation in [each for each in self.operations if (each.nexus, each.logical_unit) == (nexus, logical_unit)]:
            self.terminate(operation)

    def revoke(self, identifier: int) -> bool:
        """Revoke a token on behalf of management; False if there is none with that identifier."""
        token = self.tokens.live.get(identifier)
        if token is None:
            return False
        self.tokens.finish(token, TokenEnd.REVOKED, self.environment.monotonic())
        return True

    async def expire_in_turns(self, commit: Callable[[], None]) -> None:
        """Expire everything that is due, a piece in each turn of the loop, and commit each. Raises what `commit` raises."""
        turns = self.environment.turns
        await turns.next_if_spent()
        while self.expire(self.environment.monotonic(), turns):
            commit()
            await turns.next()
        commit()

    def next_expiry(self) -> float | None:
        """The monotonic time before which `expire` has nothing to do; None if there is nothing to expire."""
        times = [time_s for time_s in (self.tokens.next_expiry(), self.records.next_expiry()) if time_s is not None]
        return min(times, default=None)

    def status(self) -> dict[str, object]:
        """Tokens, operations, counters and the latest refusals as plain data."""
        now_s = self.environment.monotonic()
        return {
            "tokens": [token_data(token, now_s) for token in self.tokens.issued()],
            "tokens_ended": {end.name.lower(): count for end, count in self.tokens.ended.items()},
            "tombstones": len(self.tokens.tombstones),
            "copy_rate_bytes_per_s": self.copy_rate.bytes_per_s,
            "operations": [operation_data(operation, now_s) for operation in self.operations],
            "records": len(self.records),
            "record_bytes": self.records.total_bytes,
            "records_evicted": self.records.evictions,
            "damaged_durable_tokens": self.durable_tokens.damaged,
            "counters": self.counters.as_data(),
            "refusal_counts": self.refusals.counts,
            "latest_refusals": self.refusals.latest,
        }
