"""The operations on imports: begin, list, limit, verify, accept and cancel."""

from contextlib import ExitStack
from typing import TYPE_CHECKING

from odx_target.migration.bad_ranges import BadRanges
from odx_target.migration.importer import Importer
from odx_target.migration.limits import DEFAULT_RATE_BYTES_PER_S, MAX_RATE_BYTES_PER_S, MIN_RATE_BYTES_PER_S
from odx_target.migration.progress import State
from odx_target.migration.record import ImportRecord, Phase
from odx_target.migration.source import SourceLun, SourceRefused
from odx_target.migration.source_url import DEFAULT_INITIATOR_NAME, parse_source
from odx_target.store.api import BLOCK_BYTES, COMPRESSION_ATTRIBUTE, COMPRESSIONS, NameTaken, StoreError, Volume
from odx_target.target.config.error import ConfigError
from odx_target.target.config.parsing import lun_config, parse_iqn
from odx_target.target.control import arguments
from odx_target.target.control.arguments import Argument, ManagementError
from odx_target.target.control.import_answers import BlockRanges, Import, Imports
from odx_target.target.control.operation import Operation
from odx_target.target.control.storage.luns import changing, check_not_the_only_lun, unused_numbers
from odx_target.target.control.storage.names import find_volume
from odx_target.target.control.storage.storage import Storage
from odx_target.target.control.storage.volumes import forget_volume
from odx_target.target.logical_units import LUN_ATTRIBUTE, lun_attributes

if TYPE_CHECKING:
    from odx_target.migration.import_table import ImportTable
    from odx_target.target.array import Array

SUFFIX_OF_BASE = ".import"
"""Ending of the name of the volume into which the blocks of a LUN are fetched."""


async def _start(
    array: "Array",
    source: str,
    name: str,
    user: str | None,
    secret: str | None,
    target_user: str | None,
    target_secret: str | None,
    initiator_name: str,
    rate: int,
    *,
    verify: bool,
    compression: str | None,
) -> Import:
    """Serve a LUN of another array, and copy it in the background."""
    table, storage = _table(array), Storage(array.pool, array.environment, array)
    url = _url(source)
    lun_config(name, BLOCK_BYTES, BLOCK_BYTES)
    lun_config(f"{name}{SUFFIX_OF_BASE}", BLOCK_BYTES, BLOCK_BYTES)
    if name in array.pool.volumes:
        raise NameTaken(f"there is a volume {name!r} already")
    if (user is None) != (secret is None) or (target_user is None) != (target_secret is None) or (target_user and not user):
        raise ManagementError("a user and its secret need each other, and a target proves itself only to a user", is_usage=True)
    record = ImportRecord(
        volume="",
        base="",
        url=url,
        initiator_name=initiator_name,
        block_bytes=0,
        capacity_blocks=0,
        identity="",
        phase=Phase.COPYING,
        rate=rate,
        verify=verify,
        started=0.0,
        user=user,
        secret=secret,
        target_user=target_user,
        target_secret=target_secret,
    )
    chosen = {} if compression is None else {COMPRESSION_ATTRIBUTE: compression}

    def make_volume(base: Volume, lun: SourceLun) -> Volume:
        attributes = {**lun_attributes(lun_config(name, lun.size_bytes, lun.block_bytes)), **chosen}
        number = str(next(unused_numbers(storage)))
        volume = array.pool.create_volume(name, base.size_blocks, {**attributes, LUN_ATTRIBUTE: number}, base)
        changes.enter_context(changing(storage, volume))
        return volume

    with ExitStack() as changes:
        volume = await table.begin(record, f"{name}{SUFFIX_OF_BASE}", chosen, make_volume)
        await storage.make_durable()
        await array.lun_changes.serve([volume])
    return _described(table, table.running[volume.identity.hex()].record, volume)


async def _list(array: "Array") -> Imports:
    """List the imports."""
    table = _table(array)
    volumes = {volume.identity.hex(): volume for volume in array.pool.volumes.values()}
    return {"imports": [_described(table, record, volumes.get(record.volume)) for record in table.records()]}


async def _set_rate(array: "Array", name: str, rate: int) -> Import:
    """Change the rate of the background copy."""
    volume, importer = _running(array, name)
    await importer.set_rate(rate)
    return _described(_table(array), importer.record, volume)


async def _verify(array: "Array", name: str) -> Import:
    """Compare all blocks with the old LUN before the import ends."""
    volume, importer = _running(array, name)
    if importer.record.phase is not Phase.COPYING:
        raise ManagementError("the import needs the old array no longer, so the data cannot be compared any more")
    await importer.verify()
    return _described(_table(array), importer.record, volume)


async def _accept(array: "Array", name: str) -> Import:
    """Finish an import although blocks differ from the old LUN."""
    volume, importer = _running(array, name)
    if importer.progress().state is not State.DIFFERENT:
        raise ManagementError(f"no comparison of {name} has found different blocks")
    importer.accept()
    return _described(_table(array), importer.record, volume)


async def _cancel(array: "Array", name: str) -> Import:
    """Cancel an import, and delete its volume. An import that is finished is only removed from the list."""
    table, storage = _table(array), Storage(array.pool, array.environment, array)
    volume = find_volume(array.pool, name)
    importer = table.importer_of(volume)
    if importer is None:
        record = next((each for each in table.records() if each.volume == volume.identity.hex()), None)
        if record is None:
            raise ManagementError(f"volume {name} was not imported")
        answer = _described(table, record, volume)
        table.forget(record)
        await storage.make_durable()
        return answer
    if importer.record.phase is not Phase.COPYING and importer.progress().state is not State.FAILED:
        raise ManagementError(f"all data of {name} is here already: delete the volume when the import is finished")
    with changing(storage, volume):
        unit = storage.unit_of(volume)
        await _require_no_need(array, importer, volume)
        if unit is not None:
            check_not_the_only_lun(storage, volume)
            await array.lun_changes.remove(unit)
        await importer.stop()
        try:
            await _require_no_need(array, importer, volume)
        except (ManagementError, StoreError):
            # A copy or snapshot was made in the meantime, or the import has finished, or the maps cannot be searched.
            if table.importer_of(volume) is importer:
                table.resume(importer)
            if unit is not None:
                await array.lun_changes.serve([volume])
            raise
        answer = _described(table, importer.record, volume)
        await storage.when_ready(lambda: table.drop(importer, volume))
        await forget_volume(storage, volume)
    return answer


async def _require_no_need(array: "Array", importer: Importer, volume: Volume) -> None:
    """Raise ManagementError if anything except the volume of an import needs blocks that are only at the old array."""
    if importer.progress().state is State.FAILED and not array.pool.bases.is_base(importer.base):
        return  # It has failed after the base was settled.
    need = await array.pool.bases.needs(importer.base, [volume])
    if need is not None:
        raise ManagementError(f"{need} has blocks that are only at the old array: delete it first, or let the import finish")


def _table(array: "Array") -> "ImportTable":
    if array.imports is None:
        raise ManagementError("an array whose session is recorded or replayed cannot import LUNs")
    return array.imports


def _running(array: "Array", name: str) -> tuple[Volume, Importer]:
    volume = find_volume(array.pool, name)
    importer = _table(array).importer_of(volume)
    if importer is None:
        raise ManagementError(f"there is no running import of volume {name}")
    return volume, importer


def _described(table: "ImportTable", record: ImportRecord, volume: Volume | None) -> Import:
    """Describe an import. `volume` is None if it was deleted."""
    importer = table.running.get(record.volume)
    progress = None if importer is None else importer.progress()
    number = None if volume is None else volume.attributes.get(LUN_ATTRIBUTE)
    size_bytes = record.block_bytes * record.capacity_blocks
    is_copying = record.phase is Phase.COPYING
    missing = 0 if progress is None or not is_copying else progress.missing_blocks
    return {
        "volume": None if volume is None else volume.name,
        "lun": None if number is None else int(number),
        "source": record.url,
        "state": (State.FINISHED if progress is None else progress.state).value,
        "is_source_needed": is_copying,
        "reason": "" if progress is None else progress.reason,
        "size_bytes": size_bytes,
        "missing_bytes": None if missing is None else min(missing * BLOCK_BYTES, size_bytes),
        "verify": record.verify,
        "verified_bytes": 0 if progress is None else min(progress.verified_blocks * BLOCK_BYTES, size_bytes),
        "rate_limit_bytes_per_s": record.rate,
        "rate_bytes_per_s": 0 if progress is None else progress.rate,
        "remaining_s": None if progress is None else progress.remaining_s,
        "unreadable": _ranges(None if progress is None else progress.unreadable),
        "different": _ranges(None if progress is None else progress.different),
        "started": record.started,
        "finished": record.finished,
    }


def _ranges(found: BadRanges | None) -> BlockRanges:
    if found is None:
        return {"bytes": 0, "ranges": []}
    ranges = [[block * BLOCK_BYTES, count_blocks * BLOCK_BYTES] for block, count_blocks in found.ranges]
    return {"bytes": found.count_blocks * BLOCK_BYTES, "ranges": ranges}


def _url(text: str) -> str:
    """Check the URL of a source, which must have no secrets. Raises ManagementError."""
    try:
        found = parse_source(text)
    except SourceRefused as error:
        raise ManagementError(str(error), is_usage=True) from error
    if found.secret is not None or found.target_secret is not None or found.user is not None:
        raise ManagementError("source: give users and secrets as arguments of their own, not in the URL", is_usage=True)
    return str(found)


def parse_rate(value: object) -> int:
    """Check the rate of a background copy. Raises ConfigError."""
    rate = arguments.rate(value)
    if not MIN_RATE_BYTES_PER_S <= rate <= MAX_RATE_BYTES_PER_S:
        raise ConfigError(f"rate: want {MIN_RATE_BYTES_PER_S >> 10}K to {MAX_RATE_BYTES_PER_S >> 40}T bytes per second")
    return rate


def _initiator_name(value: object) -> str:
    return parse_iqn(arguments.text(value))


def _secret(value: object) -> str:
    """Check a secret. The message of an error does not contain it. Raises ConfigError."""
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ConfigError("secret: want a printable text")
    return value


_NAME = Argument("name", "the name of the volume", arguments.text)
_RATE = "bytes per second, or a text such as 64M"

IMPORT_OPERATIONS = (
    Operation("imports", _list),
    Operation(
        "import-start",
        _start,
        (
            Argument("source", "iscsi://HOST:PORT/IQN/LUN of the old LUN", arguments.text),
            Argument("name", "the name of the new volume", arguments.text),
            Argument("user", "CHAP user to log in as", arguments.text, None),
            Argument("secret", "secret of the user", _secret, None),
            Argument("target_user", "CHAP user of the old array", arguments.text, None),
            Argument("target_secret", "secret of the old array", _secret, None),
            Argument("initiator_name", "iSCSI name to log in with", _initiator_name, DEFAULT_INITIATOR_NAME),
            Argument("rate", _RATE, parse_rate, DEFAULT_RATE_BYTES_PER_S),
            Argument("verify", "true to compare all blocks at the end", arguments.flag, False),
            Argument("compression", " or ".join(COMPRESSIONS), arguments.compression, None),
        ),
    ),
    Operation("import-rate", _set_rate, (_NAME, Argument("rate", _RATE, parse_rate))),
    Operation("import-verify", _verify, (_NAME,)),
    Operation("import-accept", _accept, (_NAME,)),
    Operation("import-cancel", _cancel, (_NAME,)),
)
"""The operations on imports."""
