"""Fields of CDBs that must be zero, as masks of bits: the section `[zero-fields]` of personality files."""

from collections.abc import Iterable, Mapping

from odx_target.copymgr.commands.parameter_lists import COPY_CDBS
from odx_target.scsi.cdb.table import CDB_LAYOUTS
from odx_target.scsi.command_table import CommandCode
from odx_target.scsi.layout import Layout
from odx_target.target.config.error import ConfigError
from odx_target.target.faults.names import nearest, plain
from odx_target.target.faults.values import commands

FIXED = frozenset({"operation-code", "service-action"})
"""Fields that name the command, and so cannot be zero."""

LAYOUTS: Mapping[CommandCode, type[Layout]] = {
    **{code: row.layout for code, row in CDB_LAYOUTS.items()},
    **{(operation_code, int(action)): layout for action, operation_code, _, layout in COPY_CDBS},
}


def forbidden_bits(table: Mapping[str, object]) -> dict[CommandCode, bytes]:
    """Return the bits that must be zero in the CDBs of commands. `table` maps names of commands to lists of fields.

    A name such as WRITE is several commands. At least one of them must have each field. Raises ConfigError.
    """
    found: dict[CommandCode, int] = {}
    for name, fields in table.items():
        codes = _codes_of(name)
        if not isinstance(fields, list) or not all(isinstance(each, str) for each in fields):
            raise ConfigError(f"zero-fields: {name[:60]}: want a list of fields of its CDB")
        for field in fields:
            for code, mask in _masks_of(name, field, codes).items():
                found[code] = found.get(code, 0) | mask
    return {code: mask.to_bytes(LAYOUTS[code].size_bytes, "big") for code, mask in found.items()}


def _codes_of(name: str) -> list[CommandCode]:
    try:
        codes = [code for code in commands(name) if code in LAYOUTS]
    except ConfigError as error:
        raise ConfigError(f"zero-fields: {error}") from error
    if not codes:
        raise ConfigError(f"zero-fields: there is no command {name[:60]!r}")
    return codes


def _masks_of(name: str, field: str, codes: Iterable[CommandCode]) -> dict[CommandCode, int]:
    """Return, for each command that has a field, its CDB as a number in which only the bits of the field are set."""
    fields = {code: {plain(each): place for each, place in LAYOUTS[code].places.items()} for code in codes}
    wanted = plain(field)
    known = sorted({each for places in fields.values() for each in places} - FIXED)
    if wanted not in known:
        raise ConfigError(f"zero-fields: {name[:60]} has no field {field[:60]!r}; {nearest(wanted, known)}")
    return {
        code: (1 << places[wanted].size) - 1 << LAYOUTS[code].size_bytes * 8 - places[wanted].start - places[wanted].size
        for code, places in fields.items()
        if wanted in places
    }
