"""SANITIZE over a session, and requests of an operator during a sanitize operation."""

from pathlib import Path

from odx_target.initiator import cdb
from odx_target.scsi.unit.sanitize_operation import KEY_PREFIX, SanitizeOperation, keep
from odx_target.store.map.inner import Inner
from odx_target.store.map.leaf import Epoch
from odx_target.store.map.walk import unvisited
from odx_target.target.array import Array
from odx_target.target.config.settings import Config, LunConfig
from odx_target.target.metrics.collection import metrics_text
from odx_target.target.schedules.taking import LEFT_OUT
from tests.target.raw_peer import logged_in
from tests.target.running import LUNS, is_good, running, session_with, settled
from tests.target.test_array import directory_config
from tests.target.test_expected_lengths import BEFORE, COUNT_BLOCKS, KEEP, content, send
from tests.target.test_storage_operations import do, read, refused, write

BLOCK_ERASE, IN_BACKGROUND = bytes.fromhex("48 02 00 00 00 00 00 00 00 00"), bytes.fromhex("48 82 00 00 00 00 00 00 00 00")
OVERWRITE, PATTERN = bytes.fromhex("48 01 00 00 00 00 00 02 04 00"), bytes.fromhex("01 00 02 00") + b"\x77" * 512
MAX_POLLS = 10_000


def record_failure(array: Array, name: str) -> None:
    """Record a failed sanitize operation of a LUN."""
    unit = array.logical_unit_named(name)
    operation = SanitizeOperation(b"", is_restricted=True, make_event=array.environment.event)
    operation.fail()
    keep(array.pool, unit.volume.identity, operation)
    unit.sanitize_operation = operation


async def test_a_host_polls_a_sanitize_until_it_ends() -> None:
    async with running() as array, logged_in(array) as peer:
        await peer.status_of(peer.write(cdb.write_16(0, COUNT_BLOCKS), KEEP), BEFORE)
        response, _ = await send(peer, IN_BACKGROUND, b"", "none")
        assert response.status == 0
        for _ in range(MAX_POLLS):
            response, sense = await send(peer, bytes(6), b"", "none")
            if not response.status:
                break
            assert (sense[2] & 0xF, sense[12], sense[13]) == (2, 0x04, 0x1B)
        assert await content(peer) == bytes(KEEP)


async def test_an_array_that_stops_during_a_sanitize_goes_on_with_it(tmp_path: Path) -> None:
    async with running(directory_config(tmp_path / "pool", *LUNS)) as array, logged_in(array) as peer:
        await peer.status_of(peer.write(cdb.write_16(0, COUNT_BLOCKS), KEEP), BEFORE)
        response, _ = await send(peer, IN_BACKGROUND, b"", "none")
        assert response.status == 0
    async with running(directory_config(tmp_path / "pool")) as array, session_with(array) as session:
        await settled(session)
        for _ in range(MAX_POLLS):
            if is_good(await session.execute(0, bytes(6))):
                break
        assert await array.pool.volumes["first"].read(0, 1) == [bytes(4096)]
        assert not array.pool.remembered_keys(KEY_PREFIX)


async def test_an_overwrite_of_64_tib_makes_few_records_and_few_nodes() -> None:
    """The start and the end of an array visit each node that a map has, so a pattern must not make millions of them."""
    async with running(Config(luns=(LunConfig("large", 64 << 40),))) as array, session_with(array) as session:
        await settled(session)
        unit, (contents,) = array.logical_units[0], array.pool.contents.volumes.values()  # type: ignore[attr-defined]
        before = array.pool.durable_osn
        assert is_good(await session.execute(0, OVERWRITE, PATTERN))
        for lba in (0, unit.capacity_blocks // 3, unit.capacity_blocks - 1):
            assert await read(session, 0, lba, blocks=1) == b"\x77" * 512
        nodes = list(unvisited([contents.map.freeze()], Epoch()))
        assert len(nodes) < 50
        assert sum(len(node.nodes()) for node in nodes if isinstance(node, Inner)) < 50 * 1024
        assert array.pool.durable_osn - before < 500


async def test_a_snapshot_is_not_restored_to_a_lun_that_is_sanitized() -> None:
    async with running() as array, session_with(array) as session:
        await settled(session)
        await write(session, 0, b"1")
        await do(array, "snapshot-create", snapshots=["first@monday"])
        record_failure(array, "first")
        assert "has failed to be sanitized" in await refused(array, "snapshot-restore", snapshot="first@monday")
        assert is_good(await session.execute(0, BLOCK_ERASE))
        await do(array, "snapshot-restore", snapshot="first@monday")
        await settled(session)
        assert (await read(session, 0))[:1] == b"1"


async def test_the_record_stays_with_the_volume_of_a_removed_lun_and_goes_with_the_volume() -> None:
    async with running() as array:
        record_failure(array, "first")
        await do(array, "lun-remove", name="first")
        assert array.pool.remembered_keys(KEY_PREFIX)
        await do(array, "lun-add", name="first")
        unit = array.logical_unit_named("first")
        assert unit.sanitize_operation is not None
        assert unit.sanitize_operation.has_failed
        await do(array, "lun-remove", name="first")
        await do(array, "volume-delete", name="first")
        assert not array.pool.remembered_keys(KEY_PREFIX)


async def test_status_shows_the_operations_of_luns_and_of_volumes_without_a_lun() -> None:
    async with running() as array:
        assert await shown(array) == {"first": None, "second": None}
        unit = array.logical_unit_named("first")
        operation = SanitizeOperation(b"x", is_restricted=True, make_event=array.environment.event)
        operation.made_filling_progress(1, 4)
        keep(array.pool, unit.volume.identity, operation)
        unit.sanitize_operation = operation
        record_failure(array, "second")
        assert await shown(array) == {
            "first": {"state": "running", "percent": 62},
            "second": {"state": "failed", "percent": 0},
        }
        text = (await metrics_text(array)).decode()
        for state in ("running", "failed"):
            assert f'odx_luns_in_sanitize{{state="{state}"}} 1' in text
        await do(array, "lun-remove", name="first")
        assert (await shown(array))["first"] == {"state": "waiting", "percent": 0}


async def shown(array: Array) -> dict[str, object]:
    volumes = (await do(array, "status"))["volumes"]
    return {each["name"]: each["sanitize"] for each in volumes}  # type: ignore[attr-defined]


async def test_no_snapshot_or_clone_keeps_the_old_data_of_a_lun_that_is_sanitized() -> None:
    async with running() as array, session_with(array) as session:
        await settled(session)
        await write(session, 0, b"1")
        await do(array, "snapshot-create", snapshots=["first@before"])
        record_failure(array, "first")
        for operation, arguments in (
            ("snapshot-create", {"snapshots": ["first@s"]}),
            ("snapshot-create", {"snapshots": ["first@s", "second@s"]}),
            ("snapshot-create", {"snapshots": ["first@s"], "before": "/bin/true"}),
            ("clone", {"origin": "first", "name": "copy", "lun": True}),
        ):
            message = await refused(array, operation, **arguments)
            assert message == (
                "volume first is being sanitized or has failed to be sanitized: no snapshot or clone of it can be made now"
            )
        assert "copy" not in array.pool.volumes
        assert [each.name for each in array.pool.snapshots.values()] == ["before"]
        await do(array, "clone", origin="first@before", name="copy")
        await do(array, "lun-remove", name="first")
        assert "being sanitized" in await refused(array, "clone", origin="first", name="other")
        await do(array, "snapshot-create", snapshots=["second@s"])


async def test_a_schedule_leaves_out_a_lun_that_is_sanitized() -> None:
    async with running() as array:
        fields = {"every": "hourly", "default": True}
        await do(array, "schedule-add", name="hourly", fields=fields)
        record_failure(array, "first")
        taken = await do(array, "schedule-run", name="hourly")
        assert ([each["volume"] for each in taken["snapshots"]], taken["left_out"]) == (["second"], ["first"])
        (row,) = (await do(array, "schedules"))["schedules"]
        assert (row["last_run"]["snapshots"], row["last_run"]["problem"]) == (1, f"{LEFT_OUT}: first")
        record_failure(array, "second")
        assert "no snapshot was taken: volumes that are being sanitized" in await refused(array, "schedule-run", name="hourly")
