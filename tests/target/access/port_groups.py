"""An array with two target port groups, and what hosts see of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from odx_target.cli.serving.serve import open_pool
from odx_target.initiator.session.session import InitiatorSession
from odx_target.scsi.asymmetric_access.access_state import AccessState
from odx_target.scsi.asymmetric_access.port_groups import AccessModes
from odx_target.target.array import Array
from odx_target.target.config.settings import (
    Config,
    Portal,
    PortalGroupConfig,
    PortGroupConfig,
)
from tests.target.access.sessions import A, session_of
from tests.target.running import LUNS

ONE, TWO = Portal("127.0.0.1", 0), Portal("localhost", 0)
GROUPS = Config(
    luns=LUNS,
    portals=(ONE, TWO),
    portal_groups=(PortalGroupConfig(2, (TWO,), 2),),
    port_groups=(PortGroupConfig(1, preferred=True), PortGroupConfig(2, AccessState.STANDBY)),
    asymmetric_access=AccessModes.BOTH,
)
INQUIRY_CHANGED = "6/3F/03"
GOOD, STATE_CHANGED, IN_STANDBY, IN_UNAVAILABLE, IN_TRANSITION = "good", "6/2A/06", "2/04/0B", "2/04/0C", "2/04/0A"
READ = b"\x28" + bytes(7) + b"\x01\0"


@asynccontextmanager
async def running(config: Config = GROUPS) -> AsyncIterator[Array]:
    async with Array(config, open_pool=open_pool) as array:
        yield array


def set_states(*states: tuple[int, int]) -> tuple[bytes, bytes]:
    """Return the CDB and the list of a SET TARGET PORT GROUPS with pairs of a state and a group."""
    data = bytes(4) + b"".join(bytes((state, 0)) + group.to_bytes(2, "big") for state, group in states)
    return bytes((0xA4, 0x0A, 0, 0, 0, 0)) + len(data).to_bytes(4, "big") + bytes(2), data


async def reported(session: InitiatorSession, lun: int = 0) -> dict[int, tuple[int, bool, int, list[int]]]:
    """Return the state, preference, status code and ports of each group that REPORT TARGET PORT GROUPS shows."""
    result = await session.execute(lun, bytes.fromhex("a30a 00000000 00001000 0000"), data_in_bytes=4096)
    assert result.status == 0
    data, found, at = bytes(result.data_in), {}, 4
    while at < len(data):
        ports = [int.from_bytes(data[at + 10 + 4 * port :][:2], "big") for port in range(data[at + 7])]
        found[int.from_bytes(data[at + 2 : at + 4], "big")] = data[at] & 0xF, data[at] >= 0x80, data[at + 5], ports
        at += 8 + 4 * len(ports)
    return found


@asynccontextmanager
async def session_on_second(array: Array, initiator: str = A) -> AsyncIterator[InitiatorSession]:
    """Log in through group 2, which is in the standby state, and take the unit attentions."""
    async with session_of(array, initiator, portal=array.portals[1]) as session:
        yield session
