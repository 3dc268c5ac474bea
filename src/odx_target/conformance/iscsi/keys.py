"""Checks of text keys in the login and in Text Requests (RFC 7143 6.2, 11.10, 11.11, 13)."""

from odx_target.conformance.bench import Bench
from odx_target.conformance.check import Check, Function, Need
from odx_target.conformance.faults import CheckFailed, require, require_equal
from odx_target.conformance.iscsi.raw_connection import RawConnection
from odx_target.iscsi.pdu.headers import TextRequest, TextResponse
from odx_target.iscsi.pdu.opcodes import NO_TAG, Stage
from odx_target.iscsi.pdu.text import TextError, decode_pairs, encode_pairs

SECURITY, OPERATIONAL, FULL = Stage.SECURITY_NEGOTIATION, Stage.LOGIN_OPERATIONAL_NEGOTIATION, Stage.FULL_FEATURE_PHASE
UNKNOWN_KEY = "X-example.conformance.unknown"
TAG = 0x51


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


def chosen(key: str, offer: str, *accepted: str | None) -> Function:
    """Return the function of a check of a key whose answer must be one of some values. None stands for no answer."""

    async def run(bench: Bench) -> None:
        async with bench.connection() as connection:
            await connection.log_in(**{key: offer})
            found = connection.login_keys.get(key)
            wanted = " or ".join(value or "no answer" for value in accepted)
            require(found in accepted, f"the answer to {key}={offer} is {found}, expected {wanted}")

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


async def discovers(bench: Bench) -> None:
    async with bench.connection() as connection:
        await connection.log_in_for_discovery()
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


PORTAL = Need.PORTAL

CHECKS = (
    Check("iscsi.key.unknown", "RFC 7143 6.2", "An unknown key is answered with NotUnderstood", unknown_key, PORTAL),
    Check("iscsi.key.portal-group", "RFC 7143 13.9", "The target sends its TargetPortalGroupTag", portal_group_tag, PORTAL),
    Check(
        "iscsi.key.max-burst", "RFC 7143 13.13", "MaxBurstLength is the smaller value", minimum("MaxBurstLength", 4096), PORTAL
    ),
    Check(
        "iscsi.key.max-r2t", "RFC 7143 13.17", "MaxOutstandingR2T is the smaller value", minimum("MaxOutstandingR2T", 1), PORTAL
    ),
    Check(
        "iscsi.key.connections", "RFC 7143 13.2", "MaxConnections is the smaller value", minimum("MaxConnections", 1), PORTAL
    ),
    Check("iscsi.key.bursts", "RFC 7143 13.14", "FirstBurstLength is not over MaxBurstLength", burst_lengths, PORTAL),
    Check(
        "iscsi.key.initial-r2t",
        "RFC 7143 13.10",
        "InitialR2T=Yes results in Yes",
        chosen("InitialR2T", "Yes", "Yes", None),
        PORTAL,
    ),
    Check(
        "iscsi.key.immediate",
        "RFC 7143 13.11",
        "ImmediateData=No results in No",
        chosen("ImmediateData", "No", "No", None),
        PORTAL,
    ),
    Check(
        "iscsi.key.recovery",
        "RFC 7143 13.20",
        "ErrorRecoveryLevel=0 is answered with 0",
        chosen("ErrorRecoveryLevel", "0", "0"),
        PORTAL,
    ),
    Check(
        "iscsi.key.digest",
        "RFC 7143 13.1",
        "A list of digests is answered with one of them",
        chosen("HeaderDigest", "CRC32C,None", "CRC32C", "None"),
        PORTAL,
    ),
    Check("iscsi.text.discovery", "RFC 7143 C", "A discovery session reports the target", discovers, PORTAL),
    Check(
        "iscsi.text.target",
        "RFC 7143 C",
        "SendTargets without a name reports the target of the session",
        sends_its_target,
        PORTAL,
    ),
    Check("iscsi.text.unknown", "RFC 7143 6.2", "An unknown key in a Text Request is NotUnderstood", unknown_text_key, PORTAL),
)
