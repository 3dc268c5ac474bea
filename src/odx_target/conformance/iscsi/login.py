"""Checks of the login phase (RFC 7143 6.3, 11.12, 11.13)."""

from odx_target.conformance.bench import Bench
from odx_target.conformance.check import Check, Function, Need
from odx_target.conformance.faults import CheckFailed, NotSupported, require, require_equal
from odx_target.conformance.iscsi.raw_connection import (
    AUTHENTICATION_FAILURE,
    OPERATIONAL_KEYS,
    RawConnection,
    StreamEnded,
)
from odx_target.iscsi.pdu.headers import LoginResponse, NopIn, NopOut, Reject
from odx_target.iscsi.pdu.opcodes import LoginStatus, Stage

SECURITY, OPERATIONAL, FULL = Stage.SECURITY_NEGOTIATION, Stage.LOGIN_OPERATIONAL_NEGOTIATION, Stage.FULL_FEATURE_PHASE
UNKNOWN_KEY = "X-example.conformance.unknown"
TAG = 0x51


async def logs_in(bench: Bench) -> None:
    async with bench.connection() as connection:
        response = await connection.log_in()
        require(response.tsih != 0, "the TSIH of the last Login Response is 0")
        require_equal("ISID", response.isid, connection.isid)
        require_equal("NSG", response.next_stage, int(FULL))
        require_equal("Version-active", response.version_active, 0)


async def logs_in_at_once(bench: Bench) -> None:
    """A login may begin with the operational stage if it needs no authentication."""
    async with bench.connection() as connection:
        await connection.login_request([*connection.names(), *OPERATIONAL_KEYS.items()], OPERATIONAL, FULL)
        response, _ = await connection.login_response()
        if response.status == AUTHENTICATION_FAILURE:
            raise NotSupported("the target requires authentication")
        require_equal("status", response.status, 0)


async def stat_sn_goes_up(bench: Bench) -> None:
    async with bench.connection() as connection:
        first = await connection.log_in()
        for number in (1, 2):
            await connection.send(connection.numbered(NopOut(immediate=True, initiator_task_tag=TAG)))
            answer, _ = await connection.expect(NopIn)
            require_equal("StatSN", answer.stat_sn, (first.stat_sn + number) & 0xFFFFFFFF)


def refused_login(status: int, *, without: str = "", **changes: str) -> Function:
    """Return the function of a check that a first Login Request with changed or missing keys is refused."""

    async def run(bench: Bench) -> None:
        async with bench.connection() as connection:
            pairs = [(name, changes.get(name, value)) for name, value in connection.names() if name != without]
            await connection.login_request([*pairs, ("AuthMethod", "None")], SECURITY, OPERATIONAL)
            response, _ = await connection.login_response()
            require_equal("status class and detail", f"{response.status:04X}h", f"{status:04X}h")

    return run


async def unsupported_version(bench: Bench) -> None:
    async with bench.connection() as connection:
        pairs = [*connection.names(), ("AuthMethod", "None")]
        await connection.login_request(pairs, SECURITY, OPERATIONAL, version=2)
        response, _ = await connection.login_response()
        require_equal("status", f"{response.status:04X}h", f"{LoginStatus.UNSUPPORTED_VERSION:04X}h")


async def unknown_session(bench: Bench) -> None:
    async with bench.connection() as connection:
        pairs = [*connection.names(), ("AuthMethod", "None")]
        await connection.login_request(pairs, SECURITY, OPERATIONAL, tsih=0x7FF7)
        response, _ = await connection.login_response()
        require_equal("status", f"{response.status:04X}h", f"{LoginStatus.SESSION_DOES_NOT_EXIST:04X}h")


async def first_request_is_a_login(bench: Bench) -> None:
    async with bench.connection() as connection:
        await connection.send(NopOut(immediate=True, initiator_task_tag=TAG))
        await _refuses(connection, "a NOP-Out before the login")


async def no_second_login(bench: Bench) -> None:
    async with bench.connection() as connection:
        await connection.log_in()
        await connection.login_request([("SendTargets", "All")], OPERATIONAL, FULL)
        await _refuses(connection, "a Login Request in full feature phase")


async def _refuses(connection: RawConnection, what: str) -> None:
    """Fail unless the target answers with a Reject or a Login Response with an error, or closes the connection."""
    try:
        pdu = (await connection.receive()).pdu
    except StreamEnded:
        return
    is_refusal = isinstance(pdu, Reject) or (isinstance(pdu, LoginResponse) and pdu.status)
    if not is_refusal:
        raise CheckFailed(f"the target answers {what} with {type(pdu).__name__}")


async def reinstates_a_session(bench: Bench) -> None:
    async with bench.connection() as old:
        await old.log_in()
        async with bench.connection() as new:
            new.isid = old.isid
            await new.log_in()
            require(await old.is_closed(), "the old connection of a reinstated session stays open")


async def two_sessions(bench: Bench) -> None:
    async with bench.connection() as one, bench.connection() as two:
        first, second = await one.log_in(), await two.log_in()
        require(first.tsih != second.tsih, "two sessions have the same TSIH")
        await one.send(one.numbered(NopOut(immediate=True, initiator_task_tag=TAG)))
        await one.expect(NopIn)


_LOGIN = "RFC 7143 11.13"
PORTAL = Need.PORTAL
_UNKNOWN_TARGET = "iqn.2026-11.example:no-such-target"

CHECKS = (
    Check("iscsi.login.stages", "RFC 7143 6.3", "A login in two stages gets a session handle", logs_in, PORTAL),
    Check("iscsi.login.at-once", "RFC 7143 6.3", "A login may begin with the operational stage", logs_in_at_once, PORTAL),
    Check("iscsi.login.stat-sn", "RFC 7143 4.2.2.2", "StatSN goes up by one from the login on", stat_sn_goes_up, PORTAL),
    Check(
        "iscsi.login.unknown-target",
        _LOGIN,
        "A login to an unknown target is refused",
        refused_login(LoginStatus.NOT_FOUND, TargetName=_UNKNOWN_TARGET),
        PORTAL,
    ),
    Check(
        "iscsi.login.no-initiator",
        _LOGIN,
        "A login without InitiatorName is refused",
        refused_login(LoginStatus.MISSING_PARAMETER, without="InitiatorName"),
        PORTAL,
    ),
    Check(
        "iscsi.login.no-target",
        _LOGIN,
        "A login of a normal session without TargetName is refused",
        refused_login(LoginStatus.MISSING_PARAMETER, without="TargetName"),
        PORTAL,
    ),
    Check("iscsi.login.version", _LOGIN, "A version that does not exist is refused", unsupported_version, PORTAL),
    Check("iscsi.login.unknown-session", _LOGIN, "A login with an unknown TSIH is refused", unknown_session, PORTAL),
    Check("iscsi.login.first-pdu", "RFC 7143 6.3", "A PDU before the login is refused", first_request_is_a_login, PORTAL),
    Check("iscsi.login.twice", "RFC 7143 6.3", "A Login Request in full feature phase is refused", no_second_login, PORTAL),
    Check(
        "iscsi.login.reinstate",
        "RFC 7143 6.3.5",
        "A second login with the same ISID ends the old session",
        reinstates_a_session,
        PORTAL,
    ),
    Check("iscsi.login.two-sessions", "RFC 7143 6.3", "Two ISIDs have two sessions", two_sessions, PORTAL),
)
