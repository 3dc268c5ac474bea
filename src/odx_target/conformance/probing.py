"""The properties of a LUN and the features of its target, which are read before checks run."""

from odx_target.conformance.check import Need
from odx_target.conformance.exchange import Records
from odx_target.conformance.features import Features
from odx_target.conformance.path import Path
from odx_target.conformance.unit import Unit
from odx_target.initiator.copying.copy_limits import CopyLimits
from odx_target.initiator.disk import Disk
from odx_target.initiator.errors import BadRequest
from odx_target.initiator.result import CommandResult, Sleep, Status

OPERATING_PARAMETERS = bytes.fromhex("8403000000000000000000000200 0000")
READ_KEYS = bytes.fromhex("5e000000000000020000")
PARAMETERS_BYTES = 512
MIN_LUN_BLOCKS = 8192
"""Minimum size of a LUN under test, in which all checks have room."""


async def probe_unit(path: Path, lun: int, name: str, sleep: Sleep, records: Records) -> Unit:
    """Read the properties of a LUN. Raises InitiatorError if there is no disk, or if the disk is too small."""
    disk = await Disk.probe(_Executor(path, lun), sleep, name)
    if disk.capacity_blocks < MIN_LUN_BLOCKS:
        raise BadRequest(f"{name} has {disk.capacity_blocks} blocks, and the checks need {MIN_LUN_BLOCKS} or more")
    return Unit(
        path,
        lun,
        name,
        sleep,
        block_bytes=disk.block_bytes,
        capacity_blocks=disk.capacity_blocks,
        identity=disk.identity,
        copy_limits=disk.copy_limits or CopyLimits(),
        no_copy_because="" if disk.copy_limits else disk.no_copy_because,
        records=records,
    )


async def probe_features(unit: Unit) -> Features:
    """Find out which optional features the target supports. Raises InitiatorError."""
    missing = {}
    if unit.no_copy_because:
        missing[Need.TOKEN_COPY] = f"the LUN does not copy by token: {unit.no_copy_because}"
    for need, command, name in (
        (Need.EXTENDED_COPY, OPERATING_PARAMETERS, "EXTENDED COPY"),
        (Need.RESERVATIONS, READ_KEYS, "PERSISTENT RESERVE IN"),
    ):
        result = await unit.command(command, b"", PARAMETERS_BYTES)
        if result.status != Status.GOOD:
            missing[need] = f"the target does not support {name}"
    return Features(missing)


class _Executor:
    """The Executor of one LUN of a path."""

    def __init__(self, path: Path, lun: int) -> None:
        self._path, self._lun = path, lun

    async def execute(self, cdb: bytes, data_out: object = (), data_in_bytes: int = 0) -> CommandResult:  # noqa: ARG002
        return await self._path.execute(self._lun, cdb, b"", data_in_bytes)
