"""Checks of the login phase and of text negotiation (RFC 7143 6, 11.10 to 11.13, 13)."""

from odx_target.conformance.bench import Bench
from odx_target.conformance.check import Check, Function, Need
from odx_target.conformance.faults import CheckFailed, NotSupported, require, require_equal
from odx_target.conformance.iscsi.raw_connection import (
    AUTHENTICATION_FAILURE,
    OPERATIONAL_KEYS,
    RawConnection,
    StreamEnded,
)
from odx_target.iscsi.pdu.headers import LoginResponse, NopIn, NopOut, Reject, TextRequest, TextResponse
from odx_target.iscsi.pdu.opcodes import NO_TAG, LoginStatus, Stage
from odx_target.iscsi.pdu.text import TextError, decode_pairs, encode_pairs

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
        await connection.login_request(pairs, SECURITY, OPERATIONAL, version_min=2, version_max=2)
        response, _ = await connection.login_response()
        require_equal("status", f"{response.status:04X}h", f"{LoginStatus.UNSUPPORTED_VERSION:04X}h")


async def unknown_session(bench: Bench) -> None:
    async with bench.connection() as connection:
        pairs = [*connection.names(), ("AuthMethod", "None")]
        await connection.login_request(pairs, SECURITY, OPERATIONAL, tsih=0x7FF7)
        response, _ = await connection.login_response()
        require_equal("status", f"{response.status:04X}h", f"{LoginStatus.SESSION_DOES_NOT_EXIST:04X}h")


async def unknown_key(bench: Bench) -> None:
    async with bench.connection() as connection:
        await connection.log_in(**{UNKNOWN_KEY: "1"})
        require_equal(f"answer to {UNKNOWN_KEY}", connection.login_keys.get(UNKNOWN_KEY), "NotUnderstood")


def minimum(key: str, offer: int) -> Function:
    """Return the function of a check of a key whose result is the smaller value."""

    async def run(bench: Bench) -> None:
        async with bench.connection() as connection:
            await connection.log_in(**{key: str(offer)})
            require(key in connection.login_keys, f"the target does not answer {key}")
            found = int(connection.login_keys[key], 0)
            require(0 < found <= offer, f"{key} is {found}, expected 1 to {offer}")

    return run


def chosen(key: str, offer: str, *accepted: str) -> Function:
    """Return the function of a check of a key whose answer must be one of some values."""

    async def run(bench: Bench) -> None:
        async with bench.connection() as connection:
            await connection.log_in(**{key: offer})
            found = connection.login_keys.get(key)
            require(found in accepted, f"the answer to {key}={offer} is {found}, expected {' or '.join(accepted)}")

    return run


async def burst_lengths(bench: Bench) -> None:
    async with bench.connection() as connection:
        await connection.log_in(InitialR2T="No", MaxBurstLength="16384", FirstBurstLength="16384")
        keys = connection.login_keys
        require(
            int(keys["FirstBurstLength"], 0) <= int(keys["MaxBurstLength"], 0),
            f"FirstBurstLength {keys['FirstBurstLength']} is over MaxBurstLength {keys['MaxBurstLength']}",
        )


async def portal_group_tag(bench: Bench) -> None:
    async with bench.connection() as connection:
        await connection.log_in()
        tag = connection.login_keys.get("TargetPortalGroupTag")
        require(tag is not None and 0 <= int(tag, 0) <= 0xFFFF, f"TargetPortalGroupTag is {tag}, expected 0 to 65535")


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


async def discovers(bench: Bench) -> None:
    async with bench.connection() as connection:
        pairs = [("InitiatorName", connection.initiator_name), ("SessionType", "Discovery"), ("AuthMethod", "None")]
        await connection.login_request(pairs, SECURITY, OPERATIONAL)
        response, _ = await connection.login_response()
        if response.status == AUTHENTICATION_FAILURE:
            raise NotSupported("the target requires authentication for discovery")
        await connection.login_request([("MaxRecvDataSegmentLength", "8192")], OPERATIONAL, FULL)
        response, _ = await connection.login_response()
        require_equal("status", response.status, 0)
        found = await _text(connection, [("SendTargets", "All")])
        require(("TargetName", connection.target_name) in found, "SendTargets does not report the target")


async def sends_its_target(bench: Bench) -> None:
    async with bench.connection() as connection:
        await connection.log_in()
        found = await _text(connection, [("SendTargets", "")])
        names = [value for key, value in found if key == "TargetName"]
        require_equal("target names", names, [connection.target_name])


async def unknown_text_key(bench: Bench) -> None:
    async with bench.connection() as connection:
        await connection.log_in()
        found = await _text(connection, [(UNKNOWN_KEY, "1")])
        require_equal("answer", dict(found).get(UNKNOWN_KEY), "NotUnderstood")


async def _text(connection: RawConnection, pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Send a Text Request, and return the pairs of its answer, which may have several PDUs."""
    collected, transfer_tag, data = b"", NO_TAG, encode_pairs(pairs)
    while True:
        request = TextRequest(immediate=True, initiator_task_tag=TAG, target_transfer_tag=transfer_tag)
        await connection.send(connection.numbered(request), data)
        response, part = await connection.expect(TextResponse)
        require_equal("initiator task tag", response.initiator_task_tag, TAG)
        collected, transfer_tag, data = collected + part, response.target_transfer_tag, b""
        if response.final:
            break
    try:
        return decode_pairs(collected)
    except TextError as error:
        raise CheckFailed(f"the text is malformed: {error}") from error


async def reinstates_a_session(bench: Bench) -> None:
    async with bench.connection() as old:
        await old.log_in()
        async with bench.connection() as new:
            await new.log_in(isid=old.isid)
            require(await old.is_closed(), "the old connection of a reinstated session stays open")


async def two_sessions(bench: Bench) -> None:
    async with bench.connection() as one, bench.connection() as two:
        first, second = await one.log_in(), await two.log_in()
        require(first.tsih != second.tsih, "two sessions have the same TSIH")
        await one.send(one.numbered(NopOut(immediate=True, initiator_task_tag=TAG)))
        await one.expect(NopIn)


_LOGIN, _KEYS = "RFC 7143 11.13", "RFC 7143 13"
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
    Check("iscsi.login.reinstate", "RFC 7143 6.3.5", "A second login with the same ISID ends the old session", reinstates_a_session, PORTAL),
    Check("iscsi.login.two-sessions", "RFC 7143 6.3", "Two ISIDs have two sessions", two_sessions, PORTAL),
    Check("iscsi.key.unknown", "RFC 7143 6.2", "An unknown key is answered with NotUnderstood", unknown_key, PORTAL),
    Check("iscsi.key.portal-group", "RFC 7143 13.9", "The target sends its TargetPortalGroupTag", portal_group_tag, PORTAL),
    Check("iscsi.key.max-burst", "RFC 7143 13.13", "MaxBurstLength is the smaller value", minimum("MaxBurstLength", 4096), PORTAL),
    Check("iscsi.key.max-r2t", "RFC 7143 13.17", "MaxOutstandingR2T is the smaller value", minimum("MaxOutstandingR2T", 1), PORTAL),
    Check("iscsi.key.connections", "RFC 7143 13.2", "MaxConnections is the smaller value", minimum("MaxConnections", 1), PORTAL),
    Check("iscsi.key.bursts", "RFC 7143 13.14", "FirstBurstLength is not over MaxBurstLength", burst_lengths, PORTAL),
    Check("iscsi.key.initial-r2t", "RFC 7143 13.10", "InitialR2T=Yes is answered with Yes", chosen("InitialR2T", "Yes", "Yes"), PORTAL),
    Check("iscsi.key.immediate", "RFC 7143 13.11", "ImmediateData=No is answered with No", chosen("ImmediateData", "No", "No"), PORTAL),
    Check("iscsi.key.recovery", "RFC 7143 13.20", "ErrorRecoveryLevel=0 is answered with 0", chosen("ErrorRecoveryLevel", "0", "0"), PORTAL),
    Check(
        "iscsi.key.digest",
        "RFC 7143 13.1",
        "A list of digests is answered with one of them",
        chosen("HeaderDigest", "CRC32C,None", "CRC32C", "None"),
        PORTAL,
    ),
    Check("iscsi.text.discovery", "RFC 7143 C", "A discovery session reports the target", discovers, PORTAL),
    Check("iscsi.text.target", "RFC 7143 C", "SendTargets without a name reports the target of the session", sends_its_target, PORTAL),
    Check("iscsi.text.unknown", "RFC 7143 6.2", "An unknown key in a Text Request is NotUnderstood", unknown_text_key, PORTAL),
)
