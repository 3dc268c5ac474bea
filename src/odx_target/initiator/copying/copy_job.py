"""A whole copy. As much data as possible is copied by token, and the remaining data by the host's reads and writes."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from odx_target.initiator.copying.copy_plan import CopyPlan, Span
from odx_target.initiator.copying.host_copy import HostCopy
from odx_target.initiator.copying.offload import OffloadCopy
from odx_target.initiator.copying.offload_outcome import OffloadOutcome, OffloadStop, StopReason
from odx_target.initiator.copying.offload_settings import OffloadSettings, why_not
from odx_target.initiator.disk import Disk
from odx_target.initiator.errors import InitiatorError
from odx_target.initiator.list_identifiers import ListIdentifiers
from odx_target.initiator.result import Together


class Method(Enum):
    """The way in which a copy is made."""

    AUTO = "auto"
    ODX = "odx"
    HOST = "host"


class OffloadFailed(InitiatorError):
    """The caller required an offloaded copy, but the arrays copied only a part of the data or no data."""

    def __init__(self, stop: OffloadStop, offloaded_bytes: int, size_bytes: int) -> None:
        super().__init__(f"{offloaded_bytes} of {size_bytes} bytes were offloaded, then: {stop}")
        self.stop = stop


@dataclass(frozen=True, slots=True)
class CopyReport:
    """The result of a copy. `stop` is the reason why a part of the data was not offloaded; None if all data was offloaded."""

    offloaded_bytes: int
    host_bytes: int
    stop: OffloadStop | None
    tokens: int = 0
    writes: int = 0
    partial_writes: int = 0


@dataclass(frozen=True, slots=True)
class CopyJob:
    """A copy. `on_progress` is called after each step. Its arguments are the number of bytes that the step copied, and True if
    the arrays copied these bytes.
    """

    source: Disk
    destination: Disk
    plan: CopyPlan
    together: Together
    on_progress: Callable[[int, bool], None]
    list_identifiers: ListIdentifiers
    settings: OffloadSettings | None = None

    async def run(self, method: Method) -> CopyReport:
        """Copy the data, and make it durable on the destination. Raises InitiatorError. With Method.ODX, raises OffloadFailed
        if a part of the data was not offloaded.
        """
        outcome = await self._offload(method)
        if method is Method.ODX and outcome.stop is not None:
            raise OffloadFailed(outcome.stop, outcome.offloaded_bytes, self.plan.size_bytes)
        if outcome.remaining:
            host_copy = HostCopy(
                self.source, self.destination, self.plan, self.together, lambda count: self.on_progress(count, False)
            )
            await host_copy.run(outcome.remaining)
        await self.destination.synchronize_cache()
        return CopyReport(
            offloaded_bytes=outcome.offloaded_bytes,
            host_bytes=self.plan.size_bytes - outcome.offloaded_bytes,
            stop=outcome.stop,
            tokens=outcome.tokens,
            writes=outcome.writes,
            partial_writes=outcome.partial_writes,
        )

    async def _offload(self, method: Method) -> OffloadOutcome:
        if method is Method.HOST:
            return self._not_offloaded(OffloadStop(StopReason.NOT_WANTED, "", 0))
        stop = why_not(self.source, self.destination, self.plan)
        if stop is not None and not (method is Method.ODX and stop.reason is StopReason.RANGES_TOO_CLOSE):
            return self._not_offloaded(stop)
        offload = OffloadCopy(
            self.source,
            self.destination,
            self.plan,
            self.list_identifiers,
            lambda count: self.on_progress(count, True),
            self.settings,
        )
        return await offload.run()

    def _not_offloaded(self, stop: OffloadStop) -> OffloadOutcome:
        return OffloadOutcome(0, (Span(0, self.plan.size_bytes),), stop, 0, 0, 0)
