"""The application of a personality to the parts of an array. Limits and options of copies are in `config.copy_settings`."""

from collections.abc import Mapping
from dataclasses import replace

from odx_target.scsi.device_server import DeviceServer
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.target.config.error import ConfigError
from odx_target.target.config.parsing import lun_config
from odx_target.target.config.settings import LunConfig
from odx_target.target.personality.personality import Personality

USUAL_BLOCK_BYTES = 512
"""The block length of a LUN for which nobody has chosen another one."""


def apply_to_server(personality: Personality, server: DeviceServer) -> None:
    """Restrict the commands of a device server, and replace its sense data."""
    server.commands.restrict(personality.missing_commands, personality.forbidden_bits)
    server.replaced_conditions = personality.conditions
    server.missing_unit.personality = personality.unit


def with_block_length(lun: LunConfig, personality: Personality) -> LunConfig:
    """Return the settings of a LUN with the block length of a personality, unless another length than 512 was chosen.

    Raises ConfigError if the size of the LUN does not fit the block length.
    """
    if personality.block_bytes in (None, lun.block_bytes) or lun.block_bytes != USUAL_BLOCK_BYTES:
        return lun
    block_bytes = personality.block_bytes or USUAL_BLOCK_BYTES
    return replace(lun_config(lun.name, lun.size_bytes, block_bytes, lun.compression, lun.tier), grows=lun.grows)


def check_block_lengths(logical_units: Mapping[int, LogicalUnit], personality: Personality) -> None:
    """Raise ConfigError if a LUN of the pool has another block length than the personality."""
    for unit in logical_units.values():
        if personality.block_bytes not in (None, unit.block_bytes):
            raise ConfigError(
                f"personality {personality.name}: LUN {unit.volume.name} has blocks of {unit.block_bytes} bytes, "
                f"not {personality.block_bytes}"
            )
