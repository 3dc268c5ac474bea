"""Tests that our array breaks no rule of Windows, and that each command is equal to that of the script."""

import random
from dataclasses import replace
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from odx_target.initiator.copying.token_commands import ZERO_TOKEN, BlockRange
from odx_target.initiator.session.request_sender import RequestSender
from odx_target.initiator.url import Portal
from odx_target.initiator.windows.copying.copy_engine import FileCopy, WindowsFile
from odx_target.initiator.windows.copying.layout import FileLayout
from odx_target.initiator.windows.copying.offload_read import Token, offload_read
from odx_target.initiator.windows.copying.offload_write import OffloadWrite, Written
from odx_target.initiator.windows.journal import LoginStep
from odx_target.initiator.windows.nt_status import NtStatus
from odx_target.initiator.windows.rules import Rule
from odx_target.initiator.windows.settings import PathChoice, WindowsSettings
from odx_target.iscsi.pdu.headers import ScsiDataOut
from odx_target.target.control.operations import perform
from tests.initiator.windows.bench import PT, RRTI, WUT, Bench, extents
from tests.initiator.windows.scripted import GIB, MIB
from tests.interop.windows.against import against, array_of, config
from tests.target.running import running

BLOCK_BYTES = pytest.mark.parametrize("block_bytes", [512, 4096])


@BLOCK_BYTES
@pytest.mark.parametrize("profile", ["A", "B", "C"])
async def test_a_copy_is_command_for_command_that_of_the_script(profile: str, block_bytes: int) -> None:
    scripted = Bench(profile, block_bytes).start()
    scripted.copy(GIB)
    async with array_of(profile, block_bytes) as array, against(array) as host:
        report = await host.copy(GIB)
        assert (report.offloaded_bytes, report.ordinary_bytes) == (GIB, 0)
        assert host.commands() == scripted.commands()
        lists = [bytes(entry.data_out[0]) for entry in host.exchanges() if entry.data_out]
        assert [data for data in lists if len(data) < 512] == scripted.source.lists(0x10)
        for ours, theirs in zip([one for one in lists if len(one) > 512], scripted.destination.lists(0x11), strict=True):
            assert ours[:16] + ours[528:] == theirs[:16] + theirs[528:]
        assert host.host.journal.findings == []
        assert host.management() == []


@BLOCK_BYTES
async def test_the_answer_that_brings_the_token_byte_for_byte(block_bytes: int) -> None:
    count = 256 * MIB // block_bytes
    async with array_of("A", block_bytes) as array, against(array) as host:
        await host.copy(GIB)
        seen = set()
        for entry in host.exchanges():
            if entry.cdb[0] != 0x84:
                continue
            assert entry.result is not None
            reply = bytes(entry.result.data_in)
            assert (len(reply), entry.result.residual_bytes) == (550, 255)
            assert reply[:6] == bytes.fromhex("00000222 1001")
            assert reply[12:16] == bytes.fromhex("000000F1")
            assert reply[16:38] == count.to_bytes(8, "big") + bytes(8) + bytes.fromhex("00000202 0000")
            token = reply[38:]
            assert token[:4] != ZERO_TOKEN[:4]
            assert token[6:8] == bytes.fromhex("01F8")
            seen.add(token)
        assert len(seen) == 4


async def test_fragments() -> None:
    source = extents(512, (0x100000, 16 * MIB), (0x400000, 64 * MIB), (0x600000, 176 * MIB))
    destination = extents(512, (0x900000, 128 * MIB), (0xB00000, 128 * MIB))
    many = [extents(512, *((at + 64 * number, 8192) for number in range(100))) for at in (0x1000000, 0x2000000)]
    async with array_of("A", 512) as array, against(array) as host:
        for layouts, tokens in (([source, destination], 1), (many, 2)):
            report = await host.copy(layouts=layouts)
            assert (report.tokens, report.stop) == (tokens, None)
        assert host.host.journal.findings == []


async def test_a_block_written_after_the_token_was_made_is_not_copied() -> None:
    async with running(config()) as array, against(array) as host:
        source, destination = host.layouts(256 * MIB)
        await host.fill(source, destination)
        token = await offload_read(host.disks[0], source, 0, 256 * MIB)
        assert isinstance(token, Token)
        lba = source.extents[0].lba
        await host.disks[0].write(lba, b"later" * 100 + bytes(12))
        written = await OffloadWrite(host.disks[1], destination, 0, 256 * MIB, token.value, 0).run()
        assert written.size_bytes == 256 * MIB
        await host.check(source, destination)
        assert (await host.disks[0].read(lba, 1)).startswith(b"later")


@pytest.mark.parametrize("choice", [PathChoice.OTHER_FOR_INFORMATION, PathChoice.ROUND_ROBIN])
async def test_the_token_may_be_asked_for_on_another_path(choice: PathChoice) -> None:
    async with running(config()) as array, against(array, WindowsSettings(path_choice=choice), paths=2) as host:
        report = await host.copy(512 * MIB)
        assert (report.offloaded_bytes, report.stop) == (512 * MIB, None)
        assert {entry.path for entry in host.exchanges()} == {"path 1", "path 2"}
        assert host.host.journal.findings == []


async def test_windows_holds_off_for_three_minutes_from_an_array_under_stress(mock_clock: MockClock) -> None:
    async with running(config(step_aside_latency_s=0.05)) as array, against(array) as host:
        stepping_aside = array.copy_manager.copies.stepping_aside
        stepping_aside.note_latency(0.1, trio.current_time())
        rules = []
        for after_s in (0.0, 100.0, 70.0):
            mock_clock.jump(after_s)
            report = await host.copy(MIB)
            assert (report.offloaded_bytes, report.ordinary_bytes) == (0, MIB)
            assert report.stop is not None
            rules.append(report.stop.rule)
        assert rules == [rules[0], Rule.HELD_OFF, Rule.HELD_OFF]
        assert rules[0] is not Rule.HELD_OFF
        assert stepping_aside.refused == 1, "Windows has asked only once"
        mock_clock.jump(20.0)
        assert (await host.copy(MIB)).offloaded_bytes == MIB


async def test_windows_copies_by_reads_and_writes_while_the_operator_wants_it(mock_clock: MockClock) -> None:
    async with running(config()) as array, against(array) as host:
        assert (await host.copy(MIB)).offloaded_bytes == MIB
        await perform(array, "step-aside", {"duration": "10m"})
        for after_s in (0.0, 179.0, 2.0, 300.0):
            mock_clock.jump(after_s)
            report = await host.copy(MIB)
            assert (report.offloaded_bytes, report.ordinary_bytes) == (0, MIB)
        assert array.copy_manager.copies.stepping_aside.refused == 3, "Windows asks again after three minutes"
        await perform(array, "step-aside", {"duration": "off"})
        assert (await host.copy(MIB)).offloaded_bytes == 0, "Windows still holds off"
        mock_clock.jump(180.0)
        assert (await host.copy(MIB)).offloaded_bytes == MIB


async def test_an_array_told_to_be_strict_is_given_up() -> None:
    settings = WindowsSettings(path_choice=PathChoice.ROUND_ROBIN)
    async with running(config(strict_list_identifiers=True)) as array, against(array, settings, paths=2) as host:
        report = await host.copy(MIB)
        assert report.offloaded_bytes == 0
        assert [finding.rule for finding in host.host.journal.declines] == [Rule.INFORMATION_FAILED]
        assert NtStatus.INVALID_INITIATOR_TARGET_PATH.value in str(host.host.journal.declines[0])


@BLOCK_BYTES
async def test_ten_gibibytes_of_zeros_from_a_host_that_never_made_a_token(block_bytes: int) -> None:
    async with running(config(block_bytes)) as array, against(array, name="iqn.1991-05.com.microsoft:other") as host:
        source, destination = host.layouts(10 * GIB)
        await host.fill(source, destination)
        host.entries.clear()
        report = await FileCopy(host.host, None, WindowsFile(host.disks[1], destination)).run()
        assert report.offloaded_bytes == 10 * GIB
        assert {(cdb[0], cdb[1]) for _, cdb in host.commands()} == {WUT}
        assert len(host.commands()) == 40
        for number in host.places(destination):
            (part,) = destination.ranges(number * block_bytes, block_bytes)
            assert await host.disks[1].read(part.lba, 1) == bytes(block_bytes)
        for lba in (destination.extents[0].lba - 1, destination.extents[0].lba + destination.extents[0].count_blocks):
            assert await host.disks[1].read(lba, 1) == host.mark(b"out", lba)
        last = OffloadWrite(host.disks[1], destination, 0, 256 * MIB, ZERO_TOKEN, 0xFFFFFFFFFFFFF000 * block_bytes)
        assert (await last.run()).size_bytes == 256 * MIB
        assert host.host.journal.findings == []


async def test_a_token_outlives_a_reset_and_a_new_session() -> None:
    async with running(config()) as array, against(array) as host:
        source, destination = host.layouts(256 * MIB)
        await host.fill(source, destination)
        token = await offload_read(host.disks[0], source, 0, 256 * MIB)
        assert isinstance(token, Token)
        port = host.disks[1].driver.port
        for position in (0, 128 * MIB):
            await port.reset()
            written = await OffloadWrite(host.disks[1], destination, position, 128 * MIB, token.value, position).run()
            assert (written.size_bytes, written.failure) == (128 * MIB, None)
            await port.paths[0].reconnect()
        await host.check(source, destination)
        assert host.host.journal.findings == []


@pytest.mark.parametrize(
    ("offset_bytes", "written_bytes", "sent"),
    [(0x1000, MIB - 0x1000, [WUT, WUT, RRTI]), (MIB, 0, [WUT, RRTI])],
)
async def test_more_than_a_token_holds(offset_bytes: int, written_bytes: int, sent: list[tuple[int, int]]) -> None:
    """The array writes only the data that the token represents; a write that begins at its end is refused."""
    async with running(config()) as array, against(array) as host:
        source, destination = host.layouts(MIB)
        await host.fill(source, destination)
        token = await offload_read(host.disks[0], source, 0, MIB)
        assert isinstance(token, Token)
        host.entries.clear()
        written = await OffloadWrite(host.disks[1], destination, 0, MIB, token.value, offset_bytes).run()
        assert written.size_bytes == written_bytes
        assert written.failure is not None
        assert [(cdb[0], cdb[1]) for _, cdb in host.commands()] == sent
        assert written.failure.status is NtStatus.INVALID_FIELD_IN_PARAMETER_LIST
        assert (await OffloadWrite(host.disks[1], destination, 0, MIB, token.value, 0).run()).size_bytes == MIB


async def test_a_write_past_the_end() -> None:
    async with running(config()) as array, against(array) as host:
        source, _ = host.layouts(MIB)
        token = await offload_read(host.disks[0], source, 0, MIB)
        assert isinstance(token, Token)
        host.disks[1].capacity_blocks += 4096  # The host has an outdated capacity.
        past = extents(512, (array.logical_units[1].capacity_blocks - 8, MIB))
        host.entries.clear()
        written = await OffloadWrite(host.disks[1], past, 0, MIB, token.value, 0).run()
        assert [(cdb[0], cdb[1]) for _, cdb in host.commands()] == [WUT, RRTI]
        assert written.failure is not None
        assert written.failure.status is NtStatus.NONEXISTENT_SECTOR


async def test_a_token_of_an_array_that_is_gone() -> None:
    async with running(config()) as array, against(array) as host:
        source, _ = host.layouts(MIB)
        token = await offload_read(host.disks[0], source, 0, MIB)
        assert isinstance(token, Token)
    async with running(config()) as array, against(array) as host:
        written = await OffloadWrite(host.disks[1], host.layouts(MIB)[1], 0, MIB, token.value, 0).run()
        assert written.failure is not None
        assert written.failure.finding.rule is Rule.TOKEN_REFUSED


async def test_four_copies_of_one_host_beside_ordinary_work() -> None:
    async with running(config()) as array, against(array) as host:
        quarters = [[extents(512, (lba + number * 0x40000, 64 * MIB)) for lba in (0x100000, 0x900000)] for number in range(4)]
        for source, destination in quarters:
            await host.fill(source, destination)
        host.entries.clear()

        async def work(number: int) -> None:
            for _ in range(16):
                await host.disks[number % 2].write(0x2000000 + number * 128, bytes(65536))
                await host.disks[number % 2].read(0x2000000 + number * 128, 128)

        async with trio.open_nursery() as nursery:
            for number in range(16):
                nursery.start_soon(work, number)
            for source, destination in quarters:
                nursery.start_soon(host.file_copy(source, destination).run)
        for source, destination in quarters:
            await host.check(source, destination)
        taken = [int.from_bytes(cdb[6:10], "big") for _, cdb in host.commands() if cdb[0] == 0x83]
        assert sorted(taken) == list(range(8))
        assert {(cdb[0], cdb[1]) for _, cdb in host.commands()} == {PT, RRTI, WUT}
        assert host.host.journal.findings == []


@pytest.mark.parametrize("paths", [1, 2])
async def test_a_connection_that_is_cut_is_restored(paths: int) -> None:
    async with running(config()) as array, against(array, paths=paths) as host:
        source, destination = host.layouts(MIB)
        await host.fill(source, destination)
        host.entries.clear()
        await host.lives[0].session._stream.aclose()
        report = await host.file_copy(source, destination).run()
        assert report.stop is None
        await host.check(source, destination)
        assert [(entry.path, entry.event) for entry in host.management()] == [("path 1", 20), ("path 1", 34)]


async def test_a_path_that_stays_away_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = WindowsSettings(link_down_s=0.0)
    async with running(config()) as array, against(array, settings, paths=2) as host:
        source, destination = host.layouts(MIB)
        await host.fill(source, destination)
        host.entries.clear()
        place = replace(host.lives[0]._plan.place, portal=Portal("127.0.0.1", 1))
        monkeypatch.setattr(host.lives[0], "_plan", replace(host.lives[0]._plan, place=place))
        await host.lives[0].session._stream.aclose()
        report = await host.file_copy(source, destination).run()
        assert report.stop is None
        await host.check(source, destination)
        assert "takes over from path 1" in [entry.what for entry in host.management() if entry.path == "path 2"]


async def test_many_commands_share_one_new_session() -> None:
    async with running(config()) as array, against(array) as host, trio.open_nursery() as nursery:
        host.entries.clear()
        await host.lives[0].session._stream.aclose()
        for number in range(8):
            nursery.start_soon(host.disks[number % 2].write, 4096 + number, bytes(512))
        nursery.cancel_scope.deadline = trio.current_time() + 30
    assert [entry.event for entry in host.management()] == [20, 34]
    assert len([entry for entry in host.entries if isinstance(entry, LoginStep)]) == 4  # two requests, two responses
    assert host.host.journal.findings == []


async def test_the_lun_field_of_data_out_is_not_dependable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows may leave the LUN field at 0, so the array must take the LUN from the task."""
    send = RequestSender.send

    def without_lun(self: RequestSender, pdu: Any, data: Any = b"") -> None:
        if isinstance(pdu, ScsiDataOut):
            pdu.lun = 0
        send(self, pdu, data)

    monkeypatch.setattr(RequestSender, "send", without_lun)
    async with running(config()) as array, against(array) as host:
        data = random.Random(1).randbytes(262_144)
        await host.disks[1].write(0, data)
        assert await host.disks[1].read(0, 512) == data


async def test_a_list_identifier_that_is_in_use_is_refused_and_its_operation_unharmed() -> None:
    """A second command uses the list identifier of a running operation, which Windows never does."""
    async with running(config()) as array, against(array) as host:
        source, destination = host.layouts(16 * MIB)
        await host.disks[0].write_file(source, 0, random.Random(2).randbytes(16 * MIB))
        token = await offload_read(host.disks[0], source, 0, 16 * MIB)
        assert isinstance(token, Token)
        moved = FileLayout(tuple(BlockRange(part.lba + 1, part.count_blocks) for part in destination.extents), 512)
        slow = OffloadWrite(host.disks[1], moved, 0, 16 * MIB, token.value, 0)  # not aligned to 4 KiB, so data must move
        elsewhere = extents(512, (0x2000000, MIB))
        quick = OffloadWrite(host.disks[1], elsewhere, 0, MIB, token.value, 0)
        ends: dict[str, Written] = {}

        async def run(name: str, write: OffloadWrite) -> None:
            host.host.list_identifiers.following = 77
            ends[name] = await write.run()

        host.entries.clear()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run, "slow", slow)
            while not host.lives[0].session._connection._pending:
                await trio.lowlevel.checkpoint()
            nursery.start_soon(run, "quick", quick)
        assert ends["slow"].failure is None
        assert ends["slow"].size_bytes == 16 * MIB
        refused = ends["quick"].failure
        assert refused is not None
        assert refused.status is NtStatus.OPERATION_IN_PROGRESS
        assert await host.disks[1].read_file(moved, 0, 16 * MIB) == await host.disks[0].read_file(source, 0, 16 * MIB)
