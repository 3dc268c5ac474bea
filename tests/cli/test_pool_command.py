"""`odx-target pool scrub` on a pool that an array serves, and on one that no array serves; `odx-target pool check`."""

import json
import shutil
from functools import partial
from pathlib import Path

import pytest

from odx_target.store.api import BLOCK_BYTES
from odx_target.store.catalogue.sqlite import SqliteCatalogue
from tests.cli.conftest import Run
from tests.interop.serving import serve
from tests.store.pools import Directory, block, flip_bit, write
from tests.store.test_capacity_directory import Pools

BLOCKS = 60


@pytest.fixture
def scrub(run_pool: Run) -> Run:
    """Return a function that runs `odx-target pool scrub`."""
    return partial(run_pool, "scrub")


@pytest.fixture
def run_pool(run: Run) -> Run:
    """Return a function that runs `odx-target pool`, as `run` does."""
    return partial(run, "pool")


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    """The directory of a closed pool with a volume `a`, whose block 7 has the value 8."""
    directory = Directory(tmp_path / "pool")
    volume = directory.pool.create_volume(
        "a", BLOCKS, {"lun": "0", "block_bytes": "4096", "size_bytes": str(BLOCKS * BLOCK_BYTES)}
    )
    for at in range(BLOCKS):
        write(directory, volume, at, [block(at + 1)])
    directory.pool.commit()
    directory.close()
    return directory.path


def test_a_pool_that_is_not_served(pool: Path, scrub: Run) -> None:
    code, output, errors = scrub(pool)
    assert (code, errors) == (0, "")
    assert "complete: " in output
    assert "damaged blocks: 0" in output


def test_damage_is_named(pool: Path, scrub: Run) -> None:
    flip_bit(pool, block(8))
    code, output, errors = scrub(pool)
    assert (code, errors) == (1, f"odx-target: {pool} has damage\n")
    assert output.splitlines()[1:] == ["damaged blocks: 1", "lost: LBA 7 of volume a"]
    code, output, _ = scrub(pool, "--json")
    assert code == 1
    report = json.loads(output)
    place = {"block": 7, "offset_bytes": 7 * BLOCK_BYTES, "lba": 7, "count_blocks": 1}
    assert report["damaged"] == [{"volume": "a", "snapshot": None, "frozen_map": None, **place}]
    assert report["damaged_not_shown"] == 0
    assert (report["is_complete"], report["damaged_blocks"], report["unused_damaged_blocks"]) == (True, 1, 0)


def test_a_pool_that_is_served(pool: Path, scrub: Run) -> None:
    flip_bit(pool, block(8))
    served = serve(pool, (), log_path=pool.parent / "log")
    try:
        code, _, errors = scrub(pool, "--progress")
        assert (code, errors) == (1, "odx-target: the pool has not been scrubbed since the array started\n")
        code, output, errors = scrub(pool)
        assert (code, errors) == (1, f"odx-target: {pool} has damage\n")
        assert output.splitlines()[1:] == ["damaged blocks: 1", "lost: LBA 7 of volume a"]
        assert scrub(pool, "--progress")[1] == output
    finally:
        served.kill()
    assert "a block does not match its checksum count_blocks=1 lba=7 lun=0 name=a" in (pool.parent / "log").read_text()


def test_a_scrub_can_run_in_the_background_and_be_stopped(pool: Path, scrub: Run) -> None:
    served = serve(pool, (), log_path=pool.parent / "log")
    try:
        code, output, _ = scrub(pool, "--background", "--rate", str(BLOCK_BYTES))
        assert code == 0
        assert output.startswith("running: ")
        assert scrub(pool)[2] == "odx-target: a scrub of this pool is running\n"
        code, output, _ = scrub(pool, "--stop")
        assert code == 0
        assert output.startswith("stopped: ")
    finally:
        served.kill()


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (("absent",), 1, "absent: there is no pool and no control socket"),
        (("absent", "--rate", "0"), 2, "rate: want at least one byte per second"),
        (("absent", "--rate", "fast"), 2, "fast"),
    ],
)
def test_wrong_arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scrub: Run, arguments: tuple[str, ...], code: int, error: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ended, output, errors = scrub(*arguments)
    assert (ended, output) == (code, "")
    assert error in errors
    assert errors.count("\n") == 1


def test_a_check_names_what_is_lost(pool: Path, run_pool: Run) -> None:
    code, output, errors = run_pool("check", pool)
    assert (code, errors) == (0, "")
    assert output.splitlines()[1:] == ["volumes: 1, frozen maps: 0, mapped: 240 KiB", "damaged blocks: 0"]
    flip_bit(pool, block(8))
    code, output, errors = run_pool("check", pool)
    assert (code, errors) == (1, f"odx-target: {pool} has damage\n")
    assert output.splitlines()[-1].startswith("lost: LBA 7 of volume a: block ")
    code, output, _ = run_pool("check", pool, "--json")
    report = json.loads(output)
    assert (code, report["is_sound"], report["lost_ranges"]) == (1, False, 1)
    assert (report["lost"][0]["volume"], report["lost"][0]["block"]) == ("a", 7)


def test_lost_blocks_are_named_by_their_lbas_and_snapshots(tmp_path: Path, run_pool: Run) -> None:
    directory = Directory(tmp_path / "pool")
    volume = directory.pool.create_volume("b", BLOCKS, {"block_bytes": "512"})
    write(directory, volume, 7, [block(8)])
    directory.pool.commit()
    volume.snapshot("monday", {"block_bytes": "512"})
    directory.close()
    flip_bit(directory.path, block(8))
    owners = ["volume b", "snapshot b@monday"]
    code, output, _ = run_pool("scrub", directory.path)
    assert (code, output.splitlines()[2:]) == (1, [f"lost: LBAs 56 to 63 of {owner}" for owner in owners])
    code, output, _ = run_pool("check", directory.path)
    lines = [line.split(": block ")[0] for line in output.splitlines()[3:]]
    assert (code, lines) == (1, [f"lost: LBAs 56 to 63 of {owner}" for owner in owners])
    _, output, _ = run_pool("check", directory.path, "--json")
    (first, second) = json.loads(output)["lost"]
    assert (first["volume"], first["snapshot"], second["volume"], second["snapshot"]) == ("b", None, None, "b@monday")
    assert (first["offset_bytes"], first["length_bytes"]) == (7 * BLOCK_BYTES, BLOCK_BYTES)


@pytest.mark.parametrize("command", [("check",), ("repair", "--yes")])
def test_maps_that_need_too_much_memory_use_temporary_files(
    tmp_path: Path, run_pool: Run, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    directory = Directory(tmp_path / "pool")
    volume = directory.pool.create_volume("a", 100 * 1024, {})
    for leaf in range(100):
        write(directory, volume, leaf * 1024, [block(leaf + 1)])
        directory.pool.commit()
    directory.close()
    (directory.path / "catalogue.sqlite").unlink()
    monkeypatch.setattr("odx_target.target.config.parsing.MIN_MAP_MEMORY_BYTES", 1)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    made: list[str] = []
    real = SqliteCatalogue.__init__
    monkeypatch.setattr(SqliteCatalogue, "__init__", lambda self, path: made.append(path.parent.name) or real(self, path))
    code, output, errors = run_pool(*command, directory.path, "--map-memory", "64K")
    assert (code, errors) == (0, "")
    assert any(name.startswith("odx-target-") for name in made)
    assert not list((tmp_path / "temporary").iterdir()), "the temporary files are deleted"
    assert (directory.path / "catalogue.sqlite").exists() == (command[0] == "repair"), "a check writes nothing"
    assert run_pool("check", directory.path)[0] == 0
    code, output, errors = run_pool(*command, directory.path, "--map-memory", "none")
    assert (code, output, errors.count("\n")) == (2, "", 1)


def test_a_pool_that_is_served_is_not_checked(pool: Path, run_pool: Run) -> None:
    served = serve(pool, (), log_path=pool.parent / "log")
    try:
        code, output, errors = run_pool("check", pool)
    finally:
        served.kill()
    assert (code, output) == (1, "")
    assert errors == f"odx-target: {pool} is in use by another process\n"


def test_a_copied_pool_gets_its_own_identity(pool: Path, run_pool: Run) -> None:
    former = json.loads((pool / "pool.json").read_text())["identity"]
    code, output, errors = run_pool("renew-identity", pool, "--json")
    assert (code, errors) == (0, "")
    answer = json.loads(output)
    assert (answer["former_identity"], answer["volumes_kept"]) == (former, False)
    code, output, _ = run_pool("renew-identity", pool, "--keep-volumes")
    assert (code, output.startswith(f"identity {answer['identity']} is now ")) == (0, True)
    code, _, errors = run_pool("renew-identity", pool.parent / "absent")
    assert (code, errors.count("\n")) == (1, 1)
    served = serve(pool, (), log_path=pool.parent / "log")
    try:
        code, _, errors = run_pool("renew-identity", pool)
        assert (code, errors) == (1, f"odx-target: {pool} is in use by another process\n")
    finally:
        served.kill()


def test_a_repair_lists_lost_blocks_and_asks(pool: Path, run_pool: Run) -> None:
    code, output, errors = run_pool("repair", pool, "--yes")
    assert (code, output, errors) == (0, "the pool needs no repair\n", "")
    flip_bit(pool, block(8))
    unanswered = ", because nobody has answered; `--yes` repairs it without the question"
    for stdin, reason in (("n\n", ""), ("", unanswered), (None, unanswered)):
        code, output, errors = run_pool("repair", pool, "--json", stdin=stdin)
        assert (code, output) == (1, "")
        assert errors.splitlines()[-1].endswith(f"odx-target: the pool was not repaired{reason}")
    assert not (pool / "repair.json").exists()
    code, output, _ = run_pool("repair", pool, stdin="y\n")
    assert code == 0
    assert output.startswith("lost: LBA 7 of volume a: block ")
    assert output.endswith(f"repaired; the lost blocks are listed in {pool / 'repair.json'}\n")
    code, output, _ = run_pool("check", pool, "--json")
    assert code == 1
    assert [(each["volume"], each["block"]) for each in json.loads(output)["lost"]] == [("a", 7)]
    code, output, _ = run_pool("repair", pool, "--json")
    assert (code, json.loads(output)["is_needed"], len(json.loads(output)["lost"])) == (0, False, 1)


@pytest.mark.parametrize("others", [(), ("repair.json",)])
def test_commands_of_a_pool_without_its_head_name_the_repair(pool: Path, run: Run, others: tuple[str, ...]) -> None:
    (pool / "pool.json").unlink()
    for name in others:
        (pool / name).write_text("")
    words = f"{pool / 'pool.json'} is missing; `odx-target pool repair {pool}` makes it again\n"
    assert run("volume", "list", pool) == (1, "", f"odx-target: {words}")
    assert run("pool", "scrub", pool) == (1, "", f"odx-target: {words}")
    assert run("serve", pool, "--portal", "127.0.0.1:0") == (1, "", f"odx-target: {words}")
    assert run("pool", "repair", pool, "--yes")[0] == 0
    assert run("volume", "list", pool)[0] == 0


def test_a_pool_without_a_capacity_tier_cannot_give_one_up(pool: Path, run_pool: Run) -> None:
    code, output, errors = run_pool("repair", pool, "--without-capacity")
    assert (code, output) == (1, "")
    assert errors.endswith(f"the pool in {pool} has no capacity tier\n")


def test_a_lost_capacity_tier_is_given_up(tmp_path: Path, run_pool: Run) -> None:
    pools = Pools()
    pools.make(tmp_path / "pool", tmp_path / "tier")
    shutil.rmtree(tmp_path / "tier")
    code, output, errors = run_pool("repair", tmp_path / "pool", "--without-capacity", "--yes")
    assert (code, errors) == (0, "")
    assert output.startswith(f"the capacity tier in {tmp_path / 'tier'} is lost\n")
    assert run_pool("repair", tmp_path / "pool")[:2] == (0, "the pool needs no repair\n")
