"""docs/a-command.md describes the way of three commands: it names exactly the files on the way, and functions called there."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest
from trio.lowlevel import current_task

import odx_target
from odx_target.initiator import cdb
from odx_target.initiator.copying import token_commands
from odx_target.iscsi.pdu.headers import ReadyToTransfer, ScsiCommand, ScsiDataIn, ScsiResponse
from odx_target.store.log import chain
from odx_target.store.log.batch import encode_header
from odx_target.target.server import receive_loop, short_lane
from tests.target.raw_peer import RawPeer, logged_in
from tests.target.running import running

SOURCES = Path(odx_target.__file__).parent
DOCUMENT = Path(__file__).parents[2] / "docs" / "a-command.md"
SIZE_BYTES = 128 << 10
FIRST_BURST_BYTES = 64 << 10
READ_16, WRITE_16 = cdb.read_16(0, 8), cdb.write_16(0, SIZE_BYTES // 512)

HUB_TASK = "Hub.run"

Calls = dict[str, set[str]]
"""Names of called functions, by file."""


def is_in_hub() -> bool:
    """True in the task of the hub. The event loop itself may also call functions of the project, outside of all tasks."""
    try:
        return current_task().name.endswith(HUB_TASK)
    except RuntimeError:
        return False


@contextmanager
def recording(calls: Calls) -> Iterator[None]:
    """Record every function of this project that the task of the hub calls. Other work of an array runs in other tasks."""

    def note(frame: FrameType, event: str, _argument: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(f"{SOURCES}/") and is_in_hub():
            file = str(Path(code.co_filename).relative_to(SOURCES))
            calls.setdefault(file, set()).add(code.co_qualname.replace("<locals>.", ""))

    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(None)


async def way_of(peer: RawPeer, request: bytes) -> tuple[Calls, bytes]:
    """Return the calls from the arrival of a request to its response, and the first bytes of the response."""
    calls: Calls = {}
    with recording(calls):
        await peer.stream.send_all(request)
        answer = await peer.stream.receive_some(1 << 20)
    peer._unread += bytes(answer)
    return calls, bytes(answer)


def token_command(peer: RawPeer, command: bytes, parameters: bytes) -> tuple[ScsiCommand, bytes]:
    return peer.write(command, len(parameters)), parameters


async def way_of_read() -> Calls:
    async with running() as array, logged_in(array) as peer:
        assert (await peer.status_of(peer.write(cdb.write_16(0, 8), 4096), b"1" * 4096))[0] == 0
        calls, _ = await way_of(peer, peer.encode(peer.read(READ_16, 4096)))
        await peer.take(ScsiDataIn)
        return calls


async def way_of_write() -> Calls:
    async with running() as array, logged_in(array) as peer:
        command = peer.write(WRITE_16, SIZE_BYTES)
        calls, _ = await way_of(peer, peer.encode(command, b"1" * FIRST_BURST_BYTES))
        asked = await peer.take(ReadyToTransfer)
        data = peer.data_out(command, asked.target_transfer_tag, FIRST_BURST_BYTES)
        rest, _ = await way_of(peer, peer.encode(data, b"2" * (SIZE_BYTES - FIRST_BURST_BYTES)))
        assert (await peer.take(ScsiResponse)).status == 0
        return {file: calls.get(file, set()) | rest.get(file, set()) for file in calls | rest}


async def way_of_write_using_token() -> Calls:
    async with running() as array, logged_in(array) as peer:
        ranges = [token_commands.BlockRange(0, 64)]
        populate = token_commands.populate_token_list(ranges)
        assert await peer.status_of(*token_command(peer, cdb.populate_token(1, len(populate)), populate)) == (0, b"")
        length = token_commands.ANSWER_ALLOCATION_BYTES
        await peer.send(peer.read(cdb.receive_rod_token_information(1, length), length))
        received = await peer.next()
        assert received is not None
        (token,) = token_commands.read_rod_token_information(received[1]).tokens
        write = token_commands.write_using_token_list(token, [token_commands.BlockRange(64, 64)])
        command, parameters = token_command(peer, cdb.write_using_token(2, len(write)), write)
        while array.pool.turns.hosts_are_near():
            await array.pool.turns.next()
        array.pool.turns.are_equal = True  # The command is then executed in the task of the hub.
        calls, _ = await way_of(peer, peer.encode(command, parameters))
        assert (await peer.take(ScsiResponse)).status == 0
        return calls


WAYS = {"READ(16)": way_of_read, "WRITE(16) with R2T": way_of_write, "WRITE USING TOKEN": way_of_write_using_token}


def described(section: str) -> Calls:
    """Return the files and functions in the numbered lines of a section of the document."""
    text = DOCUMENT.read_text().partition(f"## {section}\n")[2].partition("\n## ")[0]
    found: Calls = {}
    for step in re.split(r"^\d+\. ", text, flags=re.MULTILINE)[1:]:
        file, *names = re.findall(r"`([^`]+)`", step)
        found.setdefault(file, set()).update(names)
    return found


@pytest.fixture(autouse=True)
def _in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use the receive loop, the short lane and the encoder of headers in Python. The native module is used for pools in
    memory too.
    """
    monkeypatch.setattr(chain, "_encode", encode_header)
    monkeypatch.setattr(short_lane, "NATIVE", None)
    monkeypatch.setattr(receive_loop, "NATIVE", None)


@pytest.mark.parametrize("section", WAYS)
async def test_a_command_passes_the_files_that_are_described(section: str) -> None:
    passed = await WAYS[section]()
    own = described(section)
    for_all = described("Every command").keys() | (set() if section == "READ(16)" else described("The general way").keys())
    assert for_all | own.keys() == passed.keys()
    for file, names in own.items():
        assert names, file
        assert names <= passed[file], file


@pytest.mark.parametrize("section", ["Every command", "The general way"])
async def test_the_functions_that_many_commands_pass_are_described(section: str) -> None:
    ways = [await way() for way in WAYS.values()]
    for file, names in described(section).items():
        assert names, file
        assert names <= set().union(*(way.get(file, set()) for way in ways)), file
