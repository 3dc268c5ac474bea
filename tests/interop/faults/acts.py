"""The acts of a host that meets a fault, and the words for what it sees."""

from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum

from tests.interop.faults.clients import REFUSED, Client, Refused, Session
from tests.interop.token_bytes import (
    TOKEN_ANSWER_BYTES,
    TOKEN_BYTES,
    WINDOWS_ALLOCATION_BYTES,
    populate_request,
    token_information_cdb,
    write_using_request,
)

BLOCK = b"0123456789abcdef" * 32
MANY_BLOCKS = 2048
"""Number of blocks whose data does not fit into one PDU."""
COPIED_BLOCKS = 1024


class Act(StrEnum):
    """The acts of a host."""

    READ = "READ(10) of 1 block, twice"
    READ_WITH_DIGESTS = "READ(10) of 1 block with digests, twice"
    READ_MANY = "READ(10) of 2,048 blocks"
    WRITE = "WRITE(10) of 1 block"
    COPY = "WRITE USING TOKEN"
    READ_AND_USE_TOKEN = "READ(10), then WRITE USING TOKEN"
    DISCOVER = "discovery"
    LOGIN = "login"


def transfer(operation_code: int, blocks: int) -> bytes:
    """Return the CDB of READ(10) or WRITE(10) for the first blocks."""
    return bytes((operation_code, 0, 0, 0, 0, 0, 0)) + blocks.to_bytes(2, "big") + bytes(1)


async def read(session: Session, blocks: int = 1) -> str:
    """Read the first blocks, all of which have the content BLOCK."""
    answer = await session.execute(transfer(0x28, blocks), data_in_bytes=blocks * 512)
    if answer.outcome != "good" or answer.data == BLOCK * blocks:
        return answer.outcome
    if (BLOCK * blocks).startswith(answer.data):
        return f"{len(answer.data)} of {blocks * 512} bytes"
    return "other data"


async def _read_twice(session: Session) -> str:
    first = await read(session)
    second = await read(session)
    return first if second == "good" or first == second else f"{first}, then {second}"


async def _write(session: Session) -> str:
    return (await session.execute(transfer(0x2A, 1), BLOCK)).outcome


async def _token(session: Session) -> bytes:
    """Make a token for the first blocks."""
    assert (await session.execute(*populate_request(1, [(0, COPIED_BLOCKS)]))).outcome == "good"
    answer = await session.execute(token_information_cdb(1), data_in_bytes=WINDOWS_ALLOCATION_BYTES)
    assert len(answer.data) == TOKEN_ANSWER_BYTES
    return answer.data[-TOKEN_BYTES:]


async def _use(session: Session, token: bytes) -> str:
    """Copy the data of the token behind its source."""
    return (await session.execute(*write_using_request(2, token, [(COPIED_BLOCKS, COPIED_BLOCKS)]))).outcome


async def _copy(session: Session) -> str:
    return await _use(session, await _token(session))


async def _read_and_use_token(session: Session) -> str:
    token = await _token(session)
    return f"{await read(session)}, then {await _use(session, token)}"


IN_A_SESSION: Mapping[Act, Callable[[Session], Awaitable[str]]] = {
    Act.READ: _read_twice,
    Act.READ_WITH_DIGESTS: _read_twice,
    Act.READ_MANY: lambda session: read(session, MANY_BLOCKS),
    Act.WRITE: _write,
    Act.COPY: _copy,
    Act.READ_AND_USE_TOKEN: _read_and_use_token,
}


async def seen_by(client: Client, act: Act, portal: str, target: str, begun: Callable[[], None]) -> str:
    """Do an act, and return what the client has seen. `begun` is called after the login, before the act itself."""
    if act not in IN_A_SESSION:
        begun()
    try:
        if act is Act.DISCOVER:
            return "good" if await client.discover(portal) == [target] else "other names"
        async with client.open(portal, target, act is Act.READ_WITH_DIGESTS) as session:
            if act is Act.LOGIN:
                return "good"
            begun()
            return await IN_A_SESSION[act](session)
    except Refused:
        return REFUSED
