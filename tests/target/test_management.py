"""The operations of a running array: their results, changes and refusals."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from odx_target.copymgr.tokens.rod_types import RodType
from odx_target.initiator import cdb
from odx_target.initiator.copying.token_commands import (
    BlockRange,
    CopyOperationStatus,
    populate_token_list,
    read_rod_token_information,
    write_using_token_list,
)
from odx_target.initiator.result import CommandResult
from odx_target.initiator.session.session import InitiatorSession
from odx_target.store.api import PoolFailed
from odx_target.target.array import Array
from odx_target.target.config.parsing import MAX_LUN_BYTES, MAX_LUNS
from odx_target.target.control.operation import checked_arguments
from odx_target.target.control.operations import (
    OPERATIONS,
    TOKENS_OF_A_PAGE,
    Data,
    ManagementError,
    perform,
)
from odx_target.target.control.storage.table import STORAGE_OPERATIONS
from tests.target.running import OPTIONS, is_good, running, session_with, settled

MIB = 1 << 20
TEST_UNIT_READY = bytes(6)
ZERO_TOKEN = bytes.fromhex("ffff0001 0000 01f8") + bytes(504)
REPORT_LUNS = bytes.fromhex("a0 00 00 000000 00001000 00 00")
OTHER = replace(OPTIONS, isid=b"\x80other")


async def do(array: Array, operation: str, **arguments: object) -> Data:
    """Perform an operation, and return its result after conversion to JSON and back."""
    answer = await perform(array, operation, arguments)
    copied: Data = json.loads(json.dumps(answer))
    assert copied == answer or "ranges" in json.dumps(answer)
    return copied


async def refused(array: Array, operation: str, given: Mapping[str, object] | None = None) -> tuple[str, bool]:
    with pytest.raises(ManagementError) as caught:
        await perform(array, operation, given or {})
    assert "\n" not in str(caught.value)
    return str(caught.value), caught.value.is_usage


async def attention(session: InitiatorSession, lun: int) -> str:
    """Return the pending unit attention of a LUN, or ""."""
    sense = (await session.execute(lun, TEST_UNIT_READY)).sense
    return f"{sense[12]:02X}/{sense[13]:02X}" if sense else ""


async def populate(session: InitiatorSession, list_identifier: int, *ranges: BlockRange, lun: int = 0) -> None:
    parameters = populate_token_list(list(ranges))
    assert is_good(await session.execute(lun, cdb.populate_token(list_identifier, len(parameters)), parameters))


async def test_luns() -> None:
    async with running() as array:
        rows = (await do(array, "luns"))["luns"]
        assert isinstance(rows, list)
        assert [(each["lun"], each["name"], each["size_bytes"], each["block_bytes"]) for each in rows] == [
            (0, "first", MIB, 512),
            (1, "second", MIB, 4096),
        ]
        assert rows == (await do(array, "volumes"))["volumes"]


@pytest.mark.parametrize("name", ["\n", "\u2028\n", "a\x1b[31m", "\udc80"])
async def test_a_refusal_is_one_printable_line(name: str) -> None:
    async with running() as array:
        for operation in ("resize", "set-port-group", "volume-rename", "lun-renumber", "snapshots"):
            given = {"resize": {"name": name, "size": "2M"}, "set-port-group": {"number": 1, "state": "standby", "lun": name}}
            usual = {"name": name, "new_name": name, "number": 3, "volume": name}
            operations = {**OPERATIONS, **STORAGE_OPERATIONS}
            wanted = {each.name for each in operations[operation].arguments} if operation in operations else set()
            with pytest.raises(ManagementError) as refused:
                await perform(array, operation, given.get(operation, {key: usual[key] for key in wanted & usual.keys()}))
            assert str(refused.value).isprintable(), operation


async def test_a_lun_is_added_and_every_host_is_told_and_finds_it() -> None:
    async with running() as array, session_with(array) as one, session_with(array, OTHER) as two:
        for session in (one, two):
            for lun in (0, 1):
                await settled(session, lun)
        added = await do(array, "add-lun", lun="third=2M,block=4096")
        assert added.items() >= {"lun": 2, "name": "third", "size_bytes": 2 * MIB, "block_bytes": 4096}.items()
        assert (await do(array, "luns"))["luns"][2] == added  # type: ignore[index]
        assert [await attention(one, lun) for lun in (0, 1)] == ["3F/0E", ""], "it is reported once to each nexus"
        assert await attention(one, 2) == "29/00"
        assert [await attention(one, lun) for lun in (0, 1, 2)] == ["", "", ""]
        report = await two.execute(0, REPORT_LUNS, data_in_bytes=4096)
        assert report.data_in[:8] == (24).to_bytes(8, "big")[4:] + bytes(4)
        assert [await attention(two, lun) for lun in (0, 1)] == ["", ""], "REPORT LUNS has told it"
        assert is_good(await one.execute(2, cdb.write_16(511, 1), b"n" * 4096))
        await populate(one, 1, BlockRange(510, 2), lun=2)


async def test_an_added_lun_is_found_by_those_who_come_later() -> None:
    async with running() as array:
        await do(array, "add-lun", lun="third=1M")
        async with session_with(array) as session:
            assert [await attention(session, lun) for lun in range(3)] == ["29/00"] * 3


async def test_luns_that_cannot_be_added() -> None:
    async with running() as array, session_with(array) as session:
        await settled(session)
        assert await refused(array, "add-lun", {"lun": "first=1M"}) == ("there is a volume 'first' already", False)
        for wrong in ("a", "a=1", "a=0", f"a={MAX_LUN_BYTES + 512}", "-a=1M", 5, None):
            assert (await refused(array, "add-lun", {"lun": wrong}))[1]
        await perform(array, "clone", {"origin": "first", "name": "l", "count": MAX_LUNS - 2, "lun": True})
        refusal = ("the pool has no free LUN number below 16384", False)
        assert (await refused(array, "add-lun", {"lun": "more=512"})) == refusal
        assert "more" not in array.pool.volumes
        assert len((await do(array, "luns"))["luns"]) == MAX_LUNS  # type: ignore[arg-type]


async def test_resize() -> None:
    async with running() as array, session_with(array) as session:
        await settled(session)
        assert (await do(array, "resize", name="first", size="3M"))["size_bytes"] == 3 * MIB
        assert await attention(session, 0) == "2A/09"
        assert (await do(array, "resize", name="first", size=3 * MIB))["size_bytes"] == 3 * MIB
        assert await attention(session, 0) == "", "it has that size"
        message, is_usage = await refused(array, "resize", {"name": "first", "size": 512})
        assert "--shrink" in message
        assert not is_usage
        assert array.logical_units[0].capacity_blocks == 3 * MIB // 512
        assert (await do(array, "resize", name="first", size="512", shrink=True))["size_bytes"] == 512
        assert await attention(session, 0) == "2A/09"


@pytest.mark.parametrize(
    ("given", "words", "is_usage"),
    [
        ({"name": "third", "size": "1M"}, "no LUN third", False),
        ({"name": "first", "size": "1000"}, "whole number", False),
        ({"name": "first", "size": 0, "shrink": True}, "whole number", False),
        ({"name": "second", "size": 4096 + 512, "shrink": True}, "whole number", False),
        ({"name": "first", "size": MAX_LUN_BYTES + 512}, "over the limit", False),
        ({"name": "first", "size": "big"}, "size 'big'", True),
        ({"name": "first", "size": -1}, "size", True),
        ({"name": "first", "size": True}, "size", True),
        ({"name": 1, "size": 512}, "name", True),
        ({"name": "first", "size": 512, "shrink": 1}, "true or false", True),
        ({"name": "first"}, "'size'", True),
        ({"name": "first", "size": 512, "force": True}, "'force'", True),
    ],
)
async def test_sizes_that_cannot_be(given: dict[str, object], words: str, is_usage: bool) -> None:
    async with running() as array:
        message, was_usage = await refused(array, "resize", given)
        assert words in message
        assert was_usage is is_usage
        assert [unit.capacity_blocks * unit.block_bytes for unit in array.logical_units.values()] == [MIB, MIB]


async def test_tokens_are_shown_without_what_makes_them_tokens(autojump_clock: MockClock) -> None:
    async with running() as array, session_with(array) as session:
        await settled(session, 0)
        await settled(session, 1)
        await populate(session, 1, BlockRange(5, 3), BlockRange(100, 7))
        await populate(session, 2, BlockRange(2, 2), lun=1)
        await trio.sleep(20)
        answer = await do(array, "tokens")
        one, two = answer["tokens"]  # type: ignore[misc]
        assert answer["next"] is None
        assert {name: one[name] for name in ("rod_type", "lun", "block_bytes", "ranges", "size_bytes", "in_use")} == {
            "rod_type": RodType.POINT_IN_TIME_DEFAULT.name.lower(),
            "lun": "first",
            "block_bytes": 512,
            "ranges": [[5, 3], [100, 7]],
            "size_bytes": 5120,
            "in_use": 0,
        }
        assert (two["lun"], two["ranges"]) == ("second", [[2, 2]])
        assert one["age_s"] == pytest.approx(20, abs=1)
        assert one["expires_in_s"] == pytest.approx(100, abs=1)
        said = json.dumps(answer)
        for token in array.copy_manager.copies.tokens.live.values():
            for secret in (token.data[272:304], token.data[480:]):
                assert secret.hex() not in said
        await trio.sleep(101)
        assert await do(array, "tokens") == {"tokens": [], "next": None}


async def test_many_tokens_come_a_page_at_a_time() -> None:
    count = 2 * TOKENS_OF_A_PAGE + 1
    async with running() as array, session_with(array) as session:
        await settled(session)
        for number in range(count):
            await populate(session, number, BlockRange(number, 1))
        seen: list[str] = []
        after: object = "0"
        pages = 0
        while after is not None:
            page = await do(array, "tokens", after=after)
            seen += [token["identifier"] for token in page["tokens"]]  # type: ignore[attr-defined]
            after = page["next"]
            pages += 1
        assert (len(seen), len(set(seen)), pages) == (count, count, 3)
        assert (await do(array, "tokens", after="f" * 16))["tokens"] == []


async def test_a_token_is_revoked() -> None:
    async with running() as array, session_with(array) as session:
        await settled(session)
        await populate(session, 1, BlockRange(0, 8))
        (live,) = array.copy_manager.copies.tokens.live.values()
        identifier = f"{live.identifier:016x}"
        assert await do(array, "revoke", identifier=identifier.upper().lstrip("0")) == {"identifier": identifier}
        assert await refused(array, "revoke", {"identifier": identifier}) == (f"there is no token {identifier}", False)
        parameters = write_using_token_list(live.data, [BlockRange(8, 8)])
        sense = (await session.execute(0, cdb.write_using_token(2, len(parameters)), parameters)).sense
        assert (sense[12], sense[13]) == (0x23, 0x06)
        for wrong in ("", "xyz", "-1", "0x10", "1" * 17, " 1", 7, None):
            assert (await refused(array, "revoke", {"identifier": wrong}))[1]


async def test_a_token_is_revoked_for_good_before_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as array, session_with(array) as session:
        await settled(session)
        await populate(session, 1, BlockRange(0, 8))
        (live,) = array.copy_manager.copies.tokens.live.values()
        steps: list[str] = []
        committed, flush = array.pool.committed, array.pool.flush

        async def watched_committed() -> None:
            await committed()
            steps.append("committed")

        async def watched_flush() -> None:
            steps.append("flush")
            await flush()

        with monkeypatch.context() as patch:
            patch.setattr(array.pool, "committed", watched_committed)
            patch.setattr(array.pool, "flush", watched_flush)
            await do(array, "revoke", identifier=f"{live.identifier:x}")
        assert steps == ["committed", "flush"]


async def test_copies_show_their_progress_and_the_rate_can_be_changed(autojump_clock: MockClock) -> None:
    async with running() as array, session_with(array) as session:
        await settled(session)
        assert await do(array, "copies") == {"copies": [], "copy_rate_bytes_per_s": None}
        assert await do(array, "copy-rate", rate="128K") == {"copy_rate_bytes_per_s": 131072}
        parameters = write_using_token_list(ZERO_TOKEN, [BlockRange(0, 2048)], immediate=True)
        assert is_good(await session.execute(0, cdb.write_using_token(7, len(parameters)), parameters))
        await trio.sleep(2)
        (copy,) = (await do(array, "copies"))["copies"]  # type: ignore[misc]
        assert {
            name: copy[name] for name in ("command", "lun", "list_identifier", "requested_blocks", "block_bytes", "status")
        } == {
            "command": "write_using_token",
            "lun": "first",
            "list_identifier": 7,
            "requested_blocks": 2048,
            "block_bytes": 512,
            "status": "in_background",
        }
        assert copy["initiator"] == OPTIONS.initiator_name
        assert copy["transfer_count_blocks"] == pytest.approx(512, abs=32)
        assert copy["age_s"] == pytest.approx(2, abs=0.2)
        assert await do(array, "copy-rate", rate="none") == {"copy_rate_bytes_per_s": None}
        await trio.sleep(0.1)
        assert await do(array, "copies") == {"copies": [], "copy_rate_bytes_per_s": None}
        assert (await refused(array, "copy-rate", {"rate": 131071}))[1]


async def test_sessions() -> None:
    async with running() as array:
        assert await do(array, "sessions") == {"sessions": []}
        async with session_with(array) as session, session_with(array, OTHER):
            await settled(session)
            one, two = (await do(array, "sessions"))["sessions"]  # type: ignore[misc]
        assert one["initiator"] == OPTIONS.initiator_name
        assert one["isid"] == OPTIONS.isid.hex()
        assert one["peer"].startswith("127.0.0.1:")
        assert (one["is_discovery"], one["waiting_tasks"]) == (False, 0)
        assert two["isid"] == OTHER.isid.hex()
        assert one["tsih"] != two["tsih"]


async def test_a_failed_pool_is_one_line_and_every_connection_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as array, session_with(array) as session:
        await settled(session)

        def fail() -> None:
            raise PoolFailed("the disk is gone")

        with monkeypatch.context() as patch:
            patch.setattr(array.pool, "commit", fail)
            assert await refused(array, "resize", {"name": "first", "size": "2M"}) == ("the disk is gone", False)
        with trio.fail_after(5):
            while (await do(array, "sessions"))["sessions"]:
                await trio.sleep(0.01)


async def test_a_copy_is_ended_and_its_host_told(autojump_clock: MockClock) -> None:
    async with running() as array, session_with(array) as session, session_with(array, OTHER) as other:
        for each in (session, other):
            await settled(each, 0)
            await settled(each, 1)
        await do(array, "copy-rate", rate="128K")
        parameters = write_using_token_list(ZERO_TOKEN, [BlockRange(0, 2048)], immediate=True)
        for each, identifier in ((session, 0x11), (other, 0x11), (session, 7)):
            assert is_good(await each.execute(0, cdb.write_using_token(identifier, len(parameters)), parameters))
        message, is_usage = await refused(array, "cancel", {"list_identifier": "0x11"})
        assert (message, is_usage) == ("2 copies have list identifier 0x11: name one by initiator and LUN", False)
        ended = await do(array, "cancel", list_identifier="7", initiator=OPTIONS.initiator_name, lun="first")
        assert (ended["list_identifier"], ended["requested_blocks"], ended["status"]) == (7, 2048, "terminated")
        assert await refused(array, "cancel", {"list_identifier": 7}) == (
            "there is no copy under way with list identifier 0x7",
            False,
        )
        information = await session.execute(0, cdb.receive_rod_token_information(7, 1024), data_in_bytes=1024)
        told = read_rod_token_information(information.data_in)
        assert told.status == CopyOperationStatus.TERMINATED
        assert await count_copies(array) == 2
        foreground = write_using_token_list(ZERO_TOKEN, [BlockRange(0, 256)])
        results: list[CommandResult] = []

        async def write() -> None:
            results.append(await session.execute(1, cdb.write_using_token(9, len(foreground)), foreground))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)
            while await count_copies(array) < 3:
                await trio.sleep(0.01)
            await do(array, "cancel", list_identifier=9, lun="second")
        assert not is_good(results[0])
        for wrong in ("", "x", "-1", -1, 1 << 32, "0x100000000", 1.5, None, True):
            assert (await refused(array, "cancel", {"list_identifier": wrong}))[1]


async def count_copies(array: Array) -> int:
    copies = (await do(array, "copies"))["copies"]
    return len([copy for copy in copies if copy["status"] != "terminated"])  # type: ignore[attr-defined]


async def test_an_operation_that_is_not_there() -> None:
    async with running() as array:
        message, is_usage = await refused(array, "format")
        assert is_usage
        assert "luns, add-lun, resize, tokens, revoke, copies, sessions, copy-rate, step-aside, cancel" in message


def test_every_argument_is_described() -> None:
    for name, operation in OPERATIONS.items():
        assert operation.name == name
        assert all(argument.description for argument in operation.arguments)


@contextmanager
def refusing() -> Iterator[None]:
    """Suppress a refusal of a wrong request, and check that its message is one line."""
    try:
        yield
    except ManagementError as error:
        if not error.is_usage or "\n" in str(error):
            raise AssertionError(error) from error


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["1M", "a=1M", "none", "ff"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
ALL_OPERATIONS = OPERATIONS | STORAGE_OPERATIONS
names = st.sampled_from(["other", *sorted({each.name for one in ALL_OPERATIONS.values() for each in one.arguments})])


@given(operation=st.sampled_from(sorted(ALL_OPERATIONS)), arguments=st.dictionaries(names, anything, max_size=4))
def test_whatever_is_given_is_parsed_or_refused_in_one_line(operation: str, arguments: dict[str, object]) -> None:
    values = None
    with refusing():
        values = checked_arguments(ALL_OPERATIONS[operation], arguments)
    assert values is None or set(values) == {argument.name for argument in ALL_OPERATIONS[operation].arguments}
