"""Sessions and connections over the network for checks."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

import trio

from odx_target.conformance.bench import Bench
from odx_target.conformance.exchange import Records
from odx_target.conformance.features import Features
from odx_target.conformance.iscsi.raw_connection import RawConnection, StreamEnded
from odx_target.conformance.path import Path
from odx_target.conformance.probing import probe_features, probe_unit
from odx_target.conformance.unit import Unit
from odx_target.initiator.result import CommandResult, Sleep
from odx_target.initiator.session.connecting import Connect, connect_tcp, connected
from odx_target.initiator.session.opening import open_session
from odx_target.initiator.session.options import SessionOptions, random_isid, with_credentials
from odx_target.initiator.session.session import InitiatorSession
from odx_target.initiator.url import IscsiUrl
from odx_target.iscsi.pdu.headers import encode_lun
from odx_target.iscsi.pdu.opcodes import TaskManagementFunction

COMMAND_TIMEOUT_S = 20.0
"""Time that a command of a check may take. It is under the time limit of every check, so that the failure names the command."""


@dataclass(frozen=True, slots=True)
class SessionPath:
    """A path through a session with a target."""

    session: InitiatorSession

    async def execute(self, lun: int, cdb: bytes, data_out: bytes = b"", data_in_bytes: int = 0) -> CommandResult:
        return await self.session.execute(lun, cdb, data_out, data_in_bytes)

    async def reset_logical_unit(self, lun: int) -> int:
        return await self.session.task_management(TaskManagementFunction.LOGICAL_UNIT_RESET, lun)


@dataclass(frozen=True, slots=True)
class TrioStream:
    """A stream of a raw connection. Every error of the connection is its end."""

    stream: trio.abc.Stream

    async def send_all(self, data: bytes) -> None:
        try:
            await self.stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise StreamEnded("the connection broke") from error

    async def receive_some(self, max_bytes: int) -> bytes:
        try:
            return bytes(await self.stream.receive_some(max_bytes))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return b""


@dataclass(frozen=True, slots=True)
class WireEquipment:
    """Sessions with the targets of one or two LUNs.

    `entropy` returns the given number of random bytes, from which each session gets its ISID. `connect` opens streams.
    """

    first: IscsiUrl
    second: IscsiUrl | None
    options: SessionOptions
    entropy: Callable[[int], bytes]
    monotonic: Callable[[], float] = trio.current_time
    sleep: Sleep = trio.sleep
    connect: Connect = connect_tcp

    async def features(self) -> Features:
        if self.second is not None:
            async with self._path(self.second) as path:
                await probe_unit(path, self.second.lun, str(self.second), self.sleep, Records())
        async with self._path(self.first) as path:
            return await probe_features(await probe_unit(path, self.first.lun, str(self.first), self.sleep, Records()))

    @asynccontextmanager
    async def open(self, records: Records) -> AsyncIterator[Bench]:
        async with AsyncExitStack() as stack:
            path = await stack.enter_async_context(self._path(self.first))
            first = await probe_unit(path, self.first.lun, f"LUN {self.first.lun}", self.sleep, records)
            second: Unit | None = None
            if self.second is not None:
                if replace(self.second, lun=self.first.lun) != self.first:
                    path = await stack.enter_async_context(self._path(self.second))
                second = await probe_unit(path, self.second.lun, f"second LUN {self.second.lun}", self.sleep, records)
            yield Bench(
                first,
                second,
                lambda name: self._path(self.first, f"-{name}"),
                self.monotonic,
                self.sleep,
                self._connection,
                self.first.target_name,
                self.options.initiator_name,
            )

    def _path(self, place: IscsiUrl, suffix: str = "") -> AbstractAsyncContextManager[Path]:
        return self._session_path(place, suffix)

    @asynccontextmanager
    async def _session_path(self, place: IscsiUrl, suffix: str) -> AsyncIterator[Path]:
        options = with_credentials(
            replace(
                self.options,
                isid=random_isid(self.entropy(5)),
                initiator_name=self.options.initiator_name + suffix,
                command_timeout_s=min(self.options.command_timeout_s, COMMAND_TIMEOUT_S),
            ),
            place,
        )
        async with open_session(place.portal, place.target_name, options, self.connect) as session:
            yield SessionPath(session)

    @asynccontextmanager
    async def _connection(self, records: Records) -> AsyncIterator[RawConnection]:
        stream = await connected(self.first.portal, self.options.connect_timeout_s, self.connect)
        try:
            yield RawConnection(
                TrioStream(stream),
                records,
                self.first.target_name,
                self.options.initiator_name,
                random_isid(self.entropy(5)),
                lun_field=encode_lun(self.first.lun),
            )
        finally:
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(stream)
