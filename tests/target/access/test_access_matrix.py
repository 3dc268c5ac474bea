"""Every initiator with every LUN and every command of the command table: everything outside the LUN map is refused."""

import pytest

from odx_target.iscsi.pdu.opcodes import TaskManagementFunction, TaskManagementResponse
from odx_target.iscsi.session.events import TaskManagement
from odx_target.scsi.command_table import CommandFlag, CommandRow
from odx_target.scsi.nexus import Nexus
from odx_target.target.access.lun_maps import LunMaps
from odx_target.target.config.access_settings import AccessRule, MappedLun
from odx_target.target.server.task_management import perform_task_management
from tests.copymgr.array import CopyArray, code_of, data_of, pattern
from tests.copymgr.extended_copy import BlocksSegment, copy, lun_list

# The volumes are lun0 to lun3. No rule names lun3.
RULES = (
    AccessRule(("iqn.a",), (MappedLun(0, "lun0"), MappedLun(5, "lun1"))),
    AccessRule(("iqn.b*",), (MappedLun(0, "lun1", read_only=True), MappedLun(300, "lun2"))),
    AccessRule(("iqn.c",), ()),
)
INITIATORS = ("iqn.a", "iqn.b", "iqn.bb", "iqn.c", "iqn.all")
LUNS = (0, 1, 2, 3, 5, 300, 16383)
NO_LOGICAL_UNIT, WRITE_PROTECTED = "5/25/00", "7/27/00"

EXPECTED: dict[str, dict[int, tuple[int, bool]]] = {
    # The number of the volume, and True if the initiator can only read it, by initiator and LUN.
    "iqn.a": {0: (0, False), 5: (1, False)},
    "iqn.b": {0: (1, True), 300: (2, False)},
    "iqn.bb": {0: (1, True), 300: (2, False)},
    "iqn.c": {},
    "iqn.all": {0: (0, False), 1: (1, False), 2: (2, False), 3: (3, False)},
}


class MappedArray(CopyArray):
    """An array with four LUNs, and a nexus for each initiator of `EXPECTED`."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = LunMaps(self.logical_units, (*RULES, AccessRule(("iqn.all",))))

    def mapped_nexus(self, initiator: str) -> Nexus:
        lun_map = self.maps.map_of(initiator)
        assert lun_map is not None
        nexus = self.new_nexus(initiator)
        nexus.use(lun_map)
        nexus.unit_attentions.clear()
        return nexus


def cdb_of(row: CommandRow) -> bytes:
    return bytes((row.operation_code, row.service_action or 0)).ljust(16, b"\0")


@pytest.mark.parametrize("initiator", INITIATORS)
@pytest.mark.parametrize("lun", LUNS)
def test_each_command(initiator: str, lun: int) -> None:
    array = MappedArray()
    nexus = array.mapped_nexus(initiator)
    volume, is_read_only = EXPECTED[initiator].get(lun, (None, False))
    for row in array.server.commands.rows():
        outcome = array.command(lun, cdb_of(row), nexus=nexus)
        code = code_of(outcome) if outcome.status in (0, 2) else str(outcome.status)
        nexus.unit_attentions.clear()
        if volume is not None:
            array.logical_units[volume].stopped = False
        if volume is None and CommandFlag.WITHOUT_LOGICAL_UNIT not in row.flags:
            assert code == NO_LOGICAL_UNIT, row.name
        elif is_read_only and CommandFlag.WRITES_MEDIUM in row.flags:
            assert code == WRITE_PROTECTED, row.name
        else:
            assert code not in (NO_LOGICAL_UNIT, WRITE_PROTECTED), row.name


@pytest.mark.parametrize("initiator", INITIATORS)
def test_report_luns_has_the_luns_of_the_map(initiator: str) -> None:
    array = MappedArray()
    data = data_of(array.command(77, b"\xa0" + bytes(5) + (1 << 20).to_bytes(4, "big"), nexus=array.mapped_nexus(initiator)))
    luns = [int.from_bytes(data[at : at + 2], "big") & 0x3FFF for at in range(8, len(data), 8)]
    assert luns == sorted(EXPECTED[initiator])


@pytest.mark.parametrize("initiator", INITIATORS)
@pytest.mark.parametrize("lun", LUNS)
def test_a_lun_is_the_volume_of_the_map(initiator: str, lun: int) -> None:
    array = MappedArray()
    for number, unit in array.logical_units.items():
        array.write(number, 0, pattern(number, 0, 1, unit.block_bytes))
    nexus = array.mapped_nexus(initiator)
    volume, is_read_only = EXPECTED[initiator].get(lun, (None, False))
    if volume is None:
        return
    block_bytes = array.block_bytes(volume)
    read_one = b"\x28" + bytes(7) + b"\1" + bytes(7)
    assert data_of(array.command(lun, read_one, nexus=nexus)) == pattern(volume, 0, 1, block_bytes)
    new = pattern(9, 0, 1, block_bytes)
    write_one = b"\x2a" + read_one[1:]
    assert code_of(array.command(lun, write_one, new, nexus=nexus)) == (WRITE_PROTECTED if is_read_only else "good")
    assert array.read(volume, 0, 1) == (pattern(volume, 0, 1, block_bytes) if is_read_only else new)
    header = data_of(array.command(lun, bytes.fromhex("1a083f00ff00"), nexus=nexus))
    assert header[2] >> 7 == is_read_only, "MODE SENSE reports the write protection"


@pytest.mark.parametrize("initiator", INITIATORS)
@pytest.mark.parametrize("lun", LUNS)
@pytest.mark.parametrize(
    "function",
    [
        TaskManagementFunction.ABORT_TASK,
        TaskManagementFunction.ABORT_TASK_SET,
        TaskManagementFunction.CLEAR_TASK_SET,
        TaskManagementFunction.LOGICAL_UNIT_RESET,
    ],
)
def test_each_task_management_function(initiator: str, lun: int, function: TaskManagementFunction) -> None:
    array = MappedArray()
    nexus = array.mapped_nexus(initiator)
    request = TaskManagement(function, lun, lun << 48, 1, 2, False)
    response = perform_task_management(array.server, nexus, request)
    assert (response == TaskManagementResponse.LUN_DOES_NOT_EXIST) is (lun not in EXPECTED[initiator])


def test_a_reset_of_the_target_resets_only_the_logical_units_of_the_map() -> None:
    array = MappedArray()
    watcher = array.mapped_nexus("iqn.all")
    array.server.reset_target(array.mapped_nexus("iqn.a"))
    assert sorted(lun for lun, pending in watcher.unit_attentions.items() if pending) == [0, 1]


@pytest.mark.parametrize("initiator", INITIATORS)
@pytest.mark.parametrize("source", range(4))
@pytest.mark.parametrize("destination", range(4))
def test_each_extended_copy(initiator: str, source: int, destination: int) -> None:
    """A copy touches only logical units of the map of the nexus, whichever LUN receives the command."""
    array = MappedArray()
    nexus = array.mapped_nexus(initiator)
    found = dict(EXPECTED[initiator].values())
    lun = next(iter(EXPECTED[initiator]), None)
    if lun is None:
        return
    array.write(source, 0, pattern(source, 0, 8, array.block_bytes(source)))
    array.write(destination, 64, bytes(8 * array.block_bytes(destination)))
    before = array.read(destination, 64, 8)
    parameters = lun_list(array, [source, destination], [BlocksSegment(0, 0, 1, 64, 8)], pad=True)
    code = code_of(copy(array, lun, parameters, nexus=nexus))
    if source not in found or destination not in found:
        assert code == "A/0D/02"
    elif found[destination]:
        assert code == "A/0D/01"
    else:
        assert code == "good"
    assert (array.read(destination, 64, 8) == before) is (code != "good")


@pytest.mark.parametrize("initiator", INITIATORS)
@pytest.mark.parametrize("lun", LUNS)
def test_each_use_of_a_token(initiator: str, lun: int) -> None:
    """A token of a LUN that the initiator cannot address may be written, as two Windows servers do, but only to its LUNs."""
    array = MappedArray()
    array.write(3, 0, pattern(3, 0, 8, 4096))
    token = array.token(3, 1, [(0, 8)])
    nexus = array.mapped_nexus(initiator)
    volume, is_read_only = EXPECTED[initiator].get(lun, (None, False))
    count = 8 if volume is not None and array.block_bytes(volume) == 4096 else 64
    code = code_of(array.write_using(lun, 1, token, [(0, count)], nexus=nexus))
    if volume is None:
        assert code == NO_LOGICAL_UNIT
    else:
        assert code == (WRITE_PROTECTED if is_read_only else "good")
        assert (array.read(volume, 0, count) == pattern(3, 0, 8, 4096)) is not is_read_only or volume == 3
    assert code_of(array.populate(lun, 2, [(0, 8)], nexus=nexus)) == (NO_LOGICAL_UNIT if volume is None else "good")
