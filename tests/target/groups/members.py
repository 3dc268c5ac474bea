"""Two whole arrays that are the members of a group, and their witness, in this process. Hosts use real sessions."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import trio

from odx_target.initiator import cdb
from odx_target.initiator.result import CommandResult
from odx_target.initiator.session.options import SessionOptions, random_isid
from odx_target.initiator.session.session import InitiatorSession
from odx_target.replica.membership.messages import MemberRecord
from odx_target.replica.membership.register import Register
from odx_target.replica.membership.witness import WitnessRecord
from odx_target.replica.sync.group import Group
from odx_target.replica.sync.group_records import GroupSettings
from odx_target.replica.sync.group_states import GroupState
from odx_target.replica.sync.group_table import GroupTable
from odx_target.target.array import Array
from odx_target.target.config.settings import Config, LunConfig, Portal
from odx_target.target.logical_units import LUN_ATTRIBUTE, lun_attributes
from odx_target.target.lun_size import volume_blocks
from odx_target.target.peers.serving import serve_peers
from tests.target.groups.memory_links import MemoryNetwork
from tests.target.running import running, session_with

NAME = "db"
BLOCK_BYTES = 4096
LOCAL_LUN, GROUP_LUN = 0, 1
LOCAL, SHARED = LunConfig("local", 1 << 20, BLOCK_BYTES), LunConfig("db1", 1 << 20, BLOCK_BYTES)
OUT_OF_SYNC_S = 8.0
IN_STANDBY, UNAVAILABLE, IN_TRANSITION, STATE_CHANGED = "2/04/0B", "2/04/0C", "2/04/0A", "6/2A/06"


def code_of(result: CommandResult) -> str:
    """Return the sense of a result as SPC names it, or good."""
    if not result.status:
        return "good"
    sense = result.sense
    return f"{sense[2] & 0xF:X}/{sense[12]:02X}/{sense[13]:02X}" if sense else f"status {result.status:02X}"


def block(number: int) -> bytes:
    return number.to_bytes(4, "big") * (BLOCK_BYTES // 4)


class Members:
    """The members `a`, which is the primary at first, and `b`, and the witness `w`."""

    def __init__(self, network: MemoryNetwork) -> None:
        self.network = network
        self.a, self.b, self.w = (network.arrays[name] for name in "abw")

    def table(self, array: Array) -> GroupTable:
        assert array.groups is not None
        return array.groups

    def group(self, array: Array) -> Group:
        return self.table(array).groups[NAME]

    def state(self, array: Array) -> GroupState:
        return self.group(array).state

    async def make_copy(self) -> None:
        """Make the LUN db1 at the secondary, under the identity that it has at the primary."""
        identity = self.a.pool.volumes[SHARED.name].identity
        attributes = {**lun_attributes(SHARED), LUN_ATTRIBUTE: str(GROUP_LUN)}
        size_blocks = volume_blocks(SHARED.size_bytes)
        volume = self.b.pool.create_volume(SHARED.name, size_blocks, attributes, identity=identity)
        await self.b.make_durable()
        await self.b.lun_changes.serve([volume])

    async def make_group(self, out_of_sync_s: float = OUT_OF_SYNC_S) -> None:
        """Make a group of the volumes db1. The secondary is out of sync at first."""
        names = self.a.pool.identity.hex(), self.b.pool.identity.hex()
        register = Register(1, names[0], frozenset(names[:1]))
        self.table(self.w).witness_desk.add(NAME, names, WitnessRecord(7, register))
        await self.w.make_durable()
        for array, peer in ((self.a, self.b), (self.b, self.a)):
            volumes = (array.pool.volumes["db1"].identity,)
            settings = GroupSettings(NAME, peer.pool.identity, self.w.pool.identity, volumes, out_of_sync_s)
            self.table(array).add(settings, MemberRecord(0, register, 7))
            await array.make_durable()

    async def until(self, is_reached: Callable[[], bool], limit_s: float = 60.0) -> None:
        with trio.fail_after(limit_s):
            while not is_reached():
                await trio.sleep(0.05)

    def is_in_sync(self) -> bool:
        sender = self.group(self.a).outgoing.sender
        return self.state(self.b) is GroupState.STANDBY and sender is not None and sender.is_complete

    def kill(self, name: str) -> None:
        """Cut an array off from everybody, as the end of its process does."""
        for other in "abw":
            if other != name:
                self.network.cut(name, other)
        self.network.arrays[name]._listener.cut_all()


@asynccontextmanager
async def members(*, in_sync: bool = True, out_of_sync_s: float = OUT_OF_SYNC_S) -> AsyncIterator[Members]:
    """Run the arrays. With `in_sync`, the group is made, and both members are in sync."""
    network = MemoryNetwork()
    async with AsyncExitStack() as stack:
        for name in "abw":
            luns = (LOCAL, SHARED) if name == "a" else (LOCAL,)
            config = Config(iqn=f"iqn.2026-11.example:{name}", luns=luns, polling=False)
            array = network.arrays[name] = await stack.enter_async_context(running(config))
            await stack.enter_async_context(serve_peers(Portal("127.0.0.1", 0), array))
        for one, other in ("ab", "aw", "bw"):
            network.pair(one, other)
        found = Members(network)
        await found.make_copy()
        if in_sync:
            await found.make_group(out_of_sync_s)
            await found.until(found.is_in_sync)
        yield found


@asynccontextmanager
async def host_at(array: Array, name: bytes = b"tests") -> AsyncIterator[InitiatorSession]:
    """Log in, and take the unit attentions of both LUNs. Sessions of one host to one array have different names."""
    async with session_with(array, SessionOptions(isid=random_isid(name))) as session:
        for lun in (LOCAL_LUN, GROUP_LUN):
            await drain(session, lun)
        yield session


async def drain(session: InitiatorSession, lun: int = GROUP_LUN) -> list[str]:
    """Take the unit attentions of a LUN, and return them."""
    found = []
    while (code := code_of(await session.execute(lun, bytes(6)))).startswith("6/"):
        found.append(code)
    return found


async def write(session: InitiatorSession, at: int, number: int, lun: int = GROUP_LUN, *, durable: bool = False) -> str:
    command = cdb.write_16(at, 1, force_unit_access=durable)
    return code_of(await session.execute(lun, command, [block(number)]))


async def read(session: InitiatorSession, at: int, count: int = 1, lun: int = GROUP_LUN) -> list[int] | str:
    result = await session.execute(lun, cdb.read_16(at, count), data_in_bytes=count * BLOCK_BYTES)
    if result.status:
        return code_of(result)
    data = bytes(result.data_in)
    return [int.from_bytes(data[place : place + 4], "big") for place in range(0, len(data), BLOCK_BYTES)]
