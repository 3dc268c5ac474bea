"""Sessions of several initiators with the targets of an array in this process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from odx_target.initiator import cdb
from odx_target.initiator.result import CommandResult
from odx_target.initiator.session.opening import discover, open_session
from odx_target.initiator.session.session import InitiatorSession
from odx_target.initiator.url import Portal as RemotePortal
from odx_target.target.array import Array
from odx_target.target.config.access_settings import AccessRule, MappedLun
from odx_target.target.config.settings import Portal
from tests.target.running import OPTIONS, remote_portal

A, B, STRANGER = "iqn.2026-11.example:a", "iqn.2026-11.example:b", "iqn.2026-11.example:c"
FIRST_ONLY = (MappedLun(0, "first"),)
BOTH_SWAPPED = (MappedLun(0, "second"), MappedLun(7, "first", read_only=True))
RULES = (AccessRule((A,), FIRST_ONLY), AccessRule((B,), BOTH_SWAPPED))

NEW_NEXUS, LUNS_CHANGED, MODE_CHANGED, NO_LUN, PROTECTED = "6/29/00", "6/3F/0E", "6/2A/01", "5/25/00", "7/27/00"


def code_of(result: CommandResult) -> str:
    """Return "good", or the key, ASC and ASCQ of fixed format sense data."""
    return f"{result.sense[2] & 0xF:X}/{result.sense[12]:02X}/{result.sense[13]:02X}" if result.sense else "good"


@asynccontextmanager
async def session_of(
    array: Array, initiator: str, target: str | None = None, portal: Portal | None = None
) -> AsyncIterator[InitiatorSession]:
    """Log in, and take the unit attention of a new nexus from each LUN."""
    at = remote_portal(array) if portal is None else RemotePortal(portal.host, portal.port)
    options = replace(OPTIONS, initiator_name=initiator)
    async with open_session(at, target or array.config.iqn, options) as session:
        for lun in await luns(session):
            assert await code(session, lun) == NEW_NEXUS
        yield session


async def code(session: InitiatorSession, lun: int, command: bytes = bytes(6)) -> str:
    """Return the result of a command, which is TEST UNIT READY by default."""
    return code_of(await session.execute(lun, command))


async def luns(session: InitiatorSession) -> list[int]:
    """Return the LUNs that REPORT LUNS reports."""
    result = await session.execute(0, cdb.report_luns(4096), data_in_bytes=4096)
    return [int.from_bytes(result.data_in[at : at + 2], "big") & 0x3FFF for at in range(8, len(result.data_in), 8)]


async def write(session: InitiatorSession, lun: int, block_bytes: int = 512) -> str:
    return code_of(await session.execute(lun, cdb.write_16(0, 1), b"w" * block_bytes))


async def discovered(array: Array, initiator: str, portal: Portal | None = None) -> dict[str, list[str]]:
    """Return the portals of the targets that SendTargets reports, by the name of the target."""
    at = remote_portal(array) if portal is None else RemotePortal(portal.host, portal.port)
    found = await discover(at, replace(OPTIONS, initiator_name=initiator))
    return {target.name: list(target.addresses) for target in found}
