"""The sessions of `odx-target windows-copy`: login, restoring of lost sessions, and a path to each disk."""

import math
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import trio

from odx_target.environment import Buffer
from odx_target.initiator.errors import CommandTimedOut, InitiatorError, LoginFailed, LoginTimedOut, NoAnswer, Rejected
from odx_target.initiator.result import CommandResult
from odx_target.initiator.session.connecting import Connect, connect_tcp
from odx_target.initiator.session.discovered import DiscoveredTarget
from odx_target.initiator.session.opening import session_of
from odx_target.initiator.session.options import SessionOptions, with_credentials
from odx_target.initiator.session.redirection import enter_where_redirected
from odx_target.initiator.session.session import InitiatorSession
from odx_target.initiator.url import IscsiUrl, Portal
from odx_target.initiator.windows.journal import Journal, LoginStep, Management
from odx_target.initiator.windows.rules import Finding, Rule
from odx_target.initiator.windows.session.connection import Broken, WindowsConnection
from odx_target.initiator.windows.session.login import LoginDeclined, WindowsLogin, session_options
from odx_target.initiator.windows.session.path import NotSent, ResetEnd
from odx_target.initiator.windows.settings import WindowsSettings
from odx_target.iscsi.pdu.opcodes import TaskManagementFunction, TaskManagementResponse
from odx_target.iscsi.pdu.text import Pairs

CONNECTION_LOST, LOGOUT_ASKED, RECONNECTED = 20, 32, 34
"""IDs of the events (source iScsiPrt) that Windows writes to the System log when a session is lost, logged out or restored. No
rule of `Rule` contains these events.
"""
ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^:\[\],]+)(:\d+)?,\d+")
"""Matches a TargetAddress with its portal group tag. An IPv6 address is in brackets (RFC 7143 13.8)."""
T = TypeVar("T")
CLOSE_TIMEOUT_S = 3.0
"""Longest time for a logout. After this time the connection is closed without a logout."""
RESET_TIMEOUT_S = 15.0
"""Longest time for a task management function. After this time the session is dropped."""


class TrioClock:
    """The clock of the event loop."""

    def now(self) -> float:
        return trio.current_time()

    async def sleep(self, delay_s: float) -> None:
        await trio.sleep(delay_s)


@dataclass(frozen=True, slots=True)
class LoginPlan:
    """The target of a session, and the identity of the host."""

    place: IscsiUrl
    options: SessionOptions
    journal: Journal
    connect: Connect = connect_tcp

    def login(self, *, discovery: bool = False) -> WindowsLogin:
        def tell(what: str, pairs: Pairs) -> None:
            self.journal.add(LoginStep(trio.current_time(), what, pairs))

        options = with_credentials(self.options, self.place)
        return WindowsLogin(options, None if discovery else self.place.target_name, tell=tell, note=self.journal.add)


@asynccontextmanager
async def open_windows_session(plan: LoginPlan, *, discovery: bool = False) -> AsyncIterator[InitiatorSession]:
    """Open a session, and log out and close it at the end. Redirections of the target are followed.

    Raises ConnectFailed, LoginFailed, ConnectionLost, Broken.
    """
    connection: WindowsConnection | None = None

    def open_at(portal: Portal) -> AbstractAsyncContextManager[InitiatorSession]:
        nonlocal connection
        connection = WindowsConnection(plan.login(discovery=discovery))
        return session_of(connection, portal, plan.options, plan.connect)

    try:
        async with AsyncExitStack() as stack:
            yield await enter_where_redirected(stack, plan.place.portal, open_at)
    except LoginTimedOut:
        raise  # the caller tries again
    except LoginFailed as failed:
        if isinstance(failed, LoginDeclined):
            plan.journal.add(failed.finding)
        failed.args = (f"{plan.place}: {failed}",)
        raise
    except Broken as broken:
        plan.journal.find(broken.rule, "login", broken.detail)
        raise
    finally:
        if connection is not None and connection.waits_for_logout:
            plan.journal.find(Rule.LOGOUT_UNANSWERED)


async def discover(plan: LoginPlan, settings: WindowsSettings) -> list[str]:
    """Open a discovery session, and return the names of the targets that the portal reports.

    Raises LoginDeclined if the portal does not report the target of the plan.
    """
    found = await _patient(plan, settings, partial(_send_targets, plan))
    for target in found:
        pairs = [("TargetName", target.name), *(("TargetAddress", address) for address in target.addresses)]
        plan.journal.add(LoginStep(trio.current_time(), "SendTargets=All answered", pairs))
    names = [target.name for target in found if all(map(ADDRESS.fullmatch, target.addresses))]
    if plan.place.target_name not in names:
        rule = Rule.NO_TAG_IN_ADDRESS if len(names) < len(found) else Rule.TARGET_NOT_LISTED
        raise _declined(plan, rule, ", ".join(address for target in found for address in target.addresses))
    return names


async def _send_targets(plan: LoginPlan) -> Sequence[DiscoveredTarget]:
    async with open_windows_session(plan, discovery=True) as session:
        return await session.send_targets()


async def _patient(plan: LoginPlan, settings: WindowsSettings, work: Callable[[], Awaitable[T]]) -> T:
    """Do `work`. If the target does not answer, wait, and do `work` again. Raises LoginDeclined after `login_attempts`
    attempts.
    """
    for left in reversed(range(settings.login_attempts)):
        try:
            return await work()
        except (LoginTimedOut, NoAnswer) as late:
            rule = Rule.LOGIN_UNANSWERED if isinstance(late, LoginTimedOut) else Rule.TEXT_UNANSWERED
            if not left:
                raise _declined(plan, rule, f"{settings.login_attempts} times") from late
            plan.journal.add(Management(trio.current_time(), str(plan.place.portal), f"{late}: again", rule.events[0]))
            await trio.sleep(settings.reconnect_interval_s)
    raise AssertionError("there is one attempt at least")


def _declined(plan: LoginPlan, rule: Rule, detail: str) -> LoginDeclined:
    finding = Finding(rule, "login", detail)
    plan.journal.add(finding)
    declined = LoginDeclined(finding)
    declined.args = (f"{plan.place}: {declined}",)
    return declined


class LiveSession:
    """A session that is restored after a loss. `run` keeps the session open until `close` is called."""

    def __init__(self, name: str, plan: LoginPlan, settings: WindowsSettings) -> None:
        self.name = name
        self._plan = plan
        self._settings = settings
        self._session: InitiatorSession | None = None
        self._wanted = trio.Event()
        self._failure: InitiatorError | None = None
        self._changed = trio.Event()
        self._changed.set()
        self._closing = False
        self._trying = False
        self._ended = trio.Event()

    @property
    def is_usable(self) -> bool:
        return self._session is not None and self._session.is_usable

    @property
    def session(self) -> InitiatorSession:
        """The current session. Raises NotSent if no session accepts requests."""
        if self._session is None or not self.is_usable:
            raise NotSent(f"{self.name} has no session")
        return self._session

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Log in, and log in again each time that `renew` is called. The method ends after a call of `close`. Raises the error
        of the first login.
        """
        try:
            await _patient(self._plan, self._settings, partial(self._first, task_status))
            await self._restore()
        finally:
            self._ended.set()

    async def _first(self, task_status: trio.TaskStatus[None]) -> None:
        async with open_windows_session(self._plan) as session:
            self._session = session
            task_status.started()
            await self._wanted.wait()

    async def close(self) -> None:
        """Log out and end `run`."""
        self._closing = True
        self._wanted.set()
        with trio.move_on_after(CLOSE_TIMEOUT_S, shield=True):
            await self._ended.wait()

    async def _restore(self) -> None:
        """Open a new session each time that the last session was dropped. If a login fails, try again after a pause, even if no
        caller waits for the session.
        """
        while not self._closing:
            self._wanted, self._trying = trio.Event(), True
            try:
                async with open_windows_session(self._plan) as session:
                    self._session = session
                    self._note("logged in again", RECONNECTED)
                    self._tell(None)
                    await self._wanted.wait()
            except InitiatorError as failure:
                self._session = None
                self._tell(failure)
                with trio.move_on_after(self._settings.reconnect_interval_s):
                    await self._wanted.wait()

    async def renew(self) -> None:
        """Drop the session and log in again. All callers wait for the same login. Raises the error of the login."""
        if self._changed.is_set():
            self._tell_of_loss()
            self._session, self._failure, self._changed = None, None, trio.Event()
            if not self._trying:
                self._wanted.set()
        await self._changed.wait()
        if self._failure is not None:
            raise self._failure

    def _tell_of_loss(self) -> None:
        if self._session is None:
            return
        failure = self._session.failure
        if isinstance(failure, Broken) and not failure.is_reported:  # no command was under way to report it
            failure.is_reported = True
            self._plan.journal.find(failure.rule, self.name, failure.detail)
        if self._session.is_asked_to_log_out:
            self._note("the target asks for a logout: out and in again", LOGOUT_ASKED)
        else:
            self._note("the connection is dropped", CONNECTION_LOST)

    def _note(self, what: str, event: int) -> None:
        self._plan.journal.add(Management(trio.current_time(), self.name, what, event))

    def _tell(self, failure: InitiatorError | None) -> None:
        self._failure, self._trying = failure, False
        self._changed.set()


@dataclass(frozen=True, slots=True)
class SessionPath:
    """The path to one logical unit through a session."""

    live: LiveSession
    lun: int

    @property
    def name(self) -> str:
        return self.live.name

    @property
    def is_usable(self) -> bool:
        return self.live.is_usable

    async def execute(
        self, cdb: bytes, data_out: Sequence[Buffer] = (), data_in_bytes: int = 0, *, attribute: int, timeout_s: float
    ) -> CommandResult:
        with trio.move_on_after(timeout_s):  # Windows resets the unit, it does not abort the task
            return await self.live.session.execute(self.lun, cdb, data_out, data_in_bytes, attribute, math.inf)
        raise CommandTimedOut(f"no answer in {timeout_s:g} s")

    async def reset_logical_unit(self) -> ResetEnd:
        return await self._manage(TaskManagementFunction.LOGICAL_UNIT_RESET)

    async def reset_target(self) -> ResetEnd:
        return await self._manage(TaskManagementFunction.TARGET_WARM_RESET)

    async def reconnect(self) -> None:
        await self.live.renew()

    async def _manage(self, function: TaskManagementFunction) -> ResetEnd:
        with trio.move_on_after(RESET_TIMEOUT_S):
            try:
                response = await self.live.session.task_management(function, self.lun)
            except Rejected:
                return ResetEnd.REFUSED
            return ResetEnd.DONE if response == TaskManagementResponse.FUNCTION_COMPLETE else ResetEnd.REFUSED
        return ResetEnd.UNANSWERED


def plan_login(
    place: IscsiUrl, number: int, initiator_name: str, journal: Journal, connect: Connect, *, digests: bool = False
) -> LoginPlan:
    """Return the plan for the login of session `number` of this host."""
    options = replace(session_options(number, initiator_name, digests=digests), entropy=secrets.token_bytes)
    return LoginPlan(place, options, journal, connect)
