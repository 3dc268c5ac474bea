"""The sessions of the Windows behaviour: logged in as Windows does, restored when they are lost, a path to each disk."""

import math
import secrets
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace

import trio

from odx_target.initiator.errors import CommandTimedOut, ConnectionLost, InitiatorError
from odx_target.initiator.options import SessionOptions, with_credentials
from odx_target.initiator.result import Buffer, CommandResult
from odx_target.initiator.session import Connect, InitiatorSession, connect_tcp, session_of
from odx_target.initiator.url import IscsiUrl
from odx_target.initiator.windows.journal import Journal, LoginStep
from odx_target.initiator.windows.login import WindowsConnection, WindowsLogin, session_options
from odx_target.target.iscsi.opcodes import TaskManagementFunction, TaskManagementResponse
from odx_target.target.iscsi.text_format import Pairs

CLOSE_TIMEOUT_S = 3.0
"""How long a logout may take before the connection is simply closed."""
RESET_TIMEOUT_S = 15.0
"""How long a task management function may take before the session is given up."""


class TrioClock:
    """The clock of the event loop."""

    def now(self) -> float:
        return trio.current_time()

    async def sleep(self, delay_s: float) -> None:
        await trio.sleep(delay_s)


@dataclass(frozen=True, slots=True)
class LoginPlan:
    """Where a session goes, and who it says it is."""

    place: IscsiUrl
    options: SessionOptions
    journal: Journal
    connect: Connect = connect_tcp

    def login(self, *, discovery: bool = False) -> WindowsLogin:
        def tell(what: str, pairs: Pairs) -> None:
            self.journal.add(LoginStep(trio.current_time(), what, _without_secrets(pairs)))

        options = with_credentials(self.options, self.place)
        return WindowsLogin(options, None if discovery else self.place.target_name, tell=tell, note=self.journal.add)


def open_windows_session(plan: LoginPlan, *, discovery: bool = False) -> AbstractAsyncContextManager[InitiatorSession]:
    """Connect and log in; log out and close at the end. Raises ConnectFailed, LoginFailed, ConnectionLost."""
    connection = WindowsConnection(plan.login(discovery=discovery))
    return session_of(connection, plan.place.portal, plan.options, plan.connect)


async def discover(plan: LoginPlan) -> list[str]:
    """A discovery session: the names of the targets behind the portal."""
    async with open_windows_session(plan, discovery=True) as session:
        found = await session.send_targets()
    for target in found:
        pairs = [("TargetName", target.name), *(("TargetAddress", address) for address in target.addresses)]
        plan.journal.add(LoginStep(trio.current_time(), "SendTargets=All answered", pairs))
    return [target.name for target in found]


class LiveSession:
    """One session that can be restored. `run` holds it for as long as it is wanted."""

    def __init__(self, name: str, plan: LoginPlan) -> None:
        self.name = name
        self._plan = plan
        self._session: InitiatorSession | None = None
        self._wanted = trio.Event()
        self._failure: InitiatorError | None = None
        self._changed = trio.Event()
        self._changed.set()
        self._closing = False
        self._ended = trio.Event()

    @property
    def session(self) -> InitiatorSession:
        """Raises ConnectionLost while there is none."""
        if self._session is None:
            raise ConnectionLost(f"{self.name} has no session")
        return self._session

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Log in, and again whenever `renew` wants it, until `close`. The first login's failure is raised."""
        try:
            async with open_windows_session(self._plan) as session:
                self._session = session
                task_status.started()
                await self._wanted.wait()
            await self._restore()
        finally:
            self._ended.set()

    async def close(self) -> None:
        """Log out and end `run`."""
        self._closing = True
        self._wanted.set()
        with trio.move_on_after(CLOSE_TIMEOUT_S, shield=True):
            await self._ended.wait()

    async def _restore(self) -> None:
        while not self._closing:
            self._wanted = trio.Event()
            try:
                async with open_windows_session(self._plan) as session:
                    self._session = session
                    self._tell(None)
                    await self._wanted.wait()
            except InitiatorError as failure:
                self._session = None
                self._tell(failure)
                await self._wanted.wait()

    async def renew(self) -> None:
        """Drop the session and log in again; whoever asks while that is under way shares in it. Raises what it fails with."""
        if self._changed.is_set():
            self._session, self._failure, self._changed = None, None, trio.Event()
            self._wanted.set()
        await self._changed.wait()
        if self._failure is not None:
            raise self._failure

    def _tell(self, failure: InitiatorError | None) -> None:
        self._failure = failure
        self._changed.set()


@dataclass(frozen=True, slots=True)
class SessionPath:
    """The path to one logical unit over a session."""

    live: LiveSession
    lun: int

    @property
    def name(self) -> str:
        return self.live.name

    async def execute(
        self, cdb: bytes, data_out: Sequence[Buffer] = (), data_in_bytes: int = 0, *, attribute: int, timeout_s: float
    ) -> CommandResult:
        with trio.move_on_after(timeout_s):  # Windows resets the unit, it does not abort the task
            return await self.live.session.execute(self.lun, cdb, data_out, data_in_bytes, attribute, math.inf)
        raise CommandTimedOut(f"no answer in {timeout_s:g} s")

    async def reset_logical_unit(self) -> bool:
        return await self._manage(TaskManagementFunction.LOGICAL_UNIT_RESET)

    async def reset_target(self) -> bool:
        return await self._manage(TaskManagementFunction.TARGET_WARM_RESET)

    async def reconnect(self) -> None:
        await self.live.renew()

    async def _manage(self, function: TaskManagementFunction) -> bool:
        with trio.move_on_after(RESET_TIMEOUT_S):
            response = await self.live.session.task_management(function, self.lun)
            return response == TaskManagementResponse.FUNCTION_COMPLETE
        return False


def plan_login(place: IscsiUrl, number: int, initiator_name: str, journal: Journal, connect: Connect) -> LoginPlan:
    """The login of session `number` of this host."""
    options = replace(session_options(number, initiator_name), entropy=secrets.token_bytes)
    return LoginPlan(place, options, journal, connect)


def _without_secrets(pairs: Pairs) -> Pairs:
    return [(name, "..." if name in {"CHAP_R", "CHAP_C"} else value) for name, value in pairs]
