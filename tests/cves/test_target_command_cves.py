"""Published faults of targets (see `table`) in SCSI commands, each against a whole array."""

from itertools import product

import pytest

from odx_target.iscsi.pdu.headers import ScsiCommand, ScsiDataOut, TaskManagementFunctionRequest
from odx_target.iscsi.pdu.opcodes import NO_TAG
from tests.cves.attacking import attack, command, logged_in
from tests.fuzz.array.actions import ACTIONS, Attack


def test_extended_copy_reaches_only_luns_of_the_initiator() -> None:
    async def body(attack: Attack) -> None:
        await logged_in(attack)
        before = {name: attack.served.content(name) for name in ("first", "witness", "kept")}
        for source, destination in ((3, 0), (0, 3), (3, 3), (0, 2)):
            await ACTIONS["extended copy"](attack, 0, 0, [[2, source, 0, destination, 8, 8]], {"identifier": source})
        assert before == {name: attack.served.content(name) for name in before}

    assert attack(body) >= {"83/00 Ah/0Dh/02h"}


@pytest.mark.parametrize("operation_code", [0x3C, 0x9B])
def test_read_buffer_returns_only_what_this_host_has_written(operation_code: int) -> None:
    def read_buffer(mode: int, size: int) -> bytes:
        if operation_code == 0x3C:
            return bytes((0x3C, mode, 0, 0, 0, 0)) + size.to_bytes(3, "big") + bytes(1)
        return bytes((0x9B, mode)) + bytes(8) + size.to_bytes(4, "big") + bytes(2)

    async def body(attack: Attack) -> None:
        await logged_in(attack, 0)
        await logged_in(attack, 1)
        await command(attack, b"\x3b\x0a\0\0\0\0\0\0\x40\0", b"\xa5" * 64, slot=1)
        await command(attack, b"\x3b\x02\0\0\0\0\0\0\x04\0", b"mine", slot=0)
        assert attack.outcomes >= {"3B GOOD"}
        for mode in range(32):
            for size in (4, 512, 65536):
                data = await command(attack, read_buffer(mode, size), size=size)
                assert b"\xa5" * 4 not in data, (mode, size)
        await command(attack, b"\x3b\x0a\0\0\0\0\0\0\x04\0", b"mine")
        data = await command(attack, read_buffer(0x0A, 4096), size=4096)
        assert data.startswith(b"mine")
        assert not data[4:].strip(b"\0")

    attack(body)


@pytest.mark.parametrize("options", [2, 3])
@pytest.mark.parametrize("operation_code", [0x00, 0x3C, 0x5E, 0x83])
def test_service_actions_out_of_range(options: int, operation_code: int) -> None:
    async def body(attack: Attack) -> None:
        await logged_in(attack)
        for action in (32, 100, 255, 256, 10000, 65535):
            cdb = (
                bytes((0xA3, 0x0C, options, operation_code)) + action.to_bytes(2, "big") + (4096).to_bytes(4, "big") + bytes(2)
            )
            data = await command(attack, cdb, size=4096)
            assert not data or data[1] & 7 == 1  # not supported

    assert attack(body) <= {"A3/0C GOOD", "A3/0C 5h/24h/00h", "ScsiDataIn", "ScsiResponse"}


@pytest.mark.parametrize("descriptor_format", [0, 1])
def test_request_sense_returns_nothing_but_sense_data(descriptor_format: int) -> None:
    async def body(attack: Attack) -> None:
        await logged_in(attack)
        whole = await command(attack, bytes((3, descriptor_format, 0, 0, 255, 0)), size=255)
        assert len(whole) == 8 + whole[7]
        for size in range(1, 60):
            assert await command(attack, bytes((3, descriptor_format, 0, 0, size, 0)), size=255) == whole[:size]

    attack(body)


def test_write_buffer_in_pieces_and_aborted() -> None:
    async def body(attack: Attack) -> None:
        connection = await logged_in(attack, keys=[("InitialR2T", "Yes"), ("ImmediateData", "No")])
        write = ScsiCommand(write=True, expected_data_transfer_length=64, cdb=b"\x3b\x0a\0\0\0\0\0\0\x40\0".ljust(16, b"\0"))
        for function in (1, 2, 4, 5):  # ABORT TASK, ABORT TASK SET, CLEAR TASK SET, LOGICAL UNIT RESET
            await connection.send(write)
            (r2t,), connection.r2ts = connection.r2ts, []
            referenced = write.initiator_task_tag if function == 1 else NO_TAG
            abort = TaskManagementFunctionRequest(immediate=True, function=function, referenced_task_tag=referenced)
            await connection.send(abort)
            data = ScsiDataOut(initiator_task_tag=write.initiator_task_tag, target_transfer_tag=r2t.target_transfer_tag)
            await connection.send(data, b"late" * 16)
            connection.checker.commands.pop(write.initiator_task_tag, None)
            assert connection.is_open
            for lun in range(3):
                await command(attack, bytes(6), lun=lun)
            assert await command(attack, b"\x3c\x0a\0\0\0\0\0\0\x40\0", size=64) == b""
        await ACTIONS["scsi"](attack, 0, 0, "3b0a0000000000004000", {"send": 0}, (b"new!" * 16).hex())
        assert await command(attack, b"\x3c\x0a\0\0\0\0\0\0\x40\0", size=64) == b"new!" * 16

    attack(body)


@pytest.mark.parametrize("action", range(8))
def test_a_huge_parameter_list_takes_no_memory(action: int) -> None:
    async def body(attack: Attack) -> None:
        connection = await logged_in(attack)
        budget = attack.served.array.memory_budget
        for size in (0xFFFFFFFF, 0x7FFFFFFF, 1 << 24):
            cdb = bytes((0x5F, action, 0, 0, 0)) + size.to_bytes(4, "big") + bytes(7)
            await connection.send(ScsiCommand(write=True, expected_data_transfer_length=size, cdb=cdb), bytes(24))
            assert budget.used_bytes <= budget.unsolicited.size_bytes + budget.written.size_bytes
        attack.outcomes.add("done")

    assert "done" in attack(body)


@pytest.mark.parametrize("immediate", ["Yes", "No"])
def test_no_data_where_data_is_expected(immediate: str) -> None:
    async def body(attack: Attack) -> None:
        before = attack.served.content("first")
        write = bytes((0x2A, 0, 0, 0, 0, 0, 0, 0, 1)).ljust(16, b"\0")
        for slot, (final, is_last) in enumerate(product((False, True), repeat=2)):
            connection = await logged_in(attack, slot, [("InitialR2T", "No"), ("ImmediateData", immediate)])
            request = ScsiCommand(write=True, final=final, expected_data_transfer_length=512, cdb=write)
            await connection.send(request)
            tag = request.initiator_task_tag
            for transfer_tag in (NO_TAG, *(r2t.target_transfer_tag for r2t in connection.r2ts)):
                empty = ScsiDataOut(final=is_last, initiator_task_tag=tag, target_transfer_tag=transfer_tag)
                await connection.send(empty)
            assert connection.is_open
            # The command waits for its data, or ends without it after the last PDU for an R2T.
            assert attack.outcomes & {"2A GOOD", "2A Bh/0Ch/0Ch"} == ({"2A Bh/0Ch/0Ch"} if final and is_last else set())
        assert attack.served.content("first") == before

    attack(body)
