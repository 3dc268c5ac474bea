"""`odx-target pool scrub` on a pool that an array serves, and on one that no array serves; `odx-target pool check`."""

import io
import json
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from odx_target.cli import main as cli
from odx_target.store.api import BLOCK_BYTES
from tests.interop.serving import serve
from tests.store.pools import Directory, block, flip_bit, write
from tests.store.test_capacity_directory import Pools

BLOCKS = 60

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def scrub(run_pool: Run) -> Run:
    """Return a function that runs `odx-target pool scrub`."""
    return partial(run_pool, "scrub")


@pytest.fixture
def run_pool(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs `odx-target pool` in this process and returns exit code, output and errors."""

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["odx-target", "pool", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run


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
    assert output.splitlines()[1:] == ["damaged blocks: 1", "lost: block 7 of volume a"]
    code, output, _ = scrub(pool, "--json")
    assert code == 1
    report = json.loads(output)
    assert report["damaged"] == [{"volume": "a", "frozen_map": None, "block": 7}]
    assert (report["is_complete"], report["damaged_blocks"], report["unused_damaged_blocks"]) == (True, 1, 0)


def test_a_pool_that_is_served(pool: Path, scrub: Run) -> None:
    flip_bit(pool, block(8))
    served = serve(pool, (), log_path=pool.parent / "log")
    try:
        code, _, errors = scrub(pool, "--progress")
        assert (code, errors) == (1, "odx-target: the pool has not been scrubbed since the array started\n")
        code, output, errors = scrub(pool)
        assert (code, errors) == (1, f"odx-target: {pool} has damage\n")
        assert "damaged blocks: 1" in output
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
    assert output.splitlines()[-1].startswith("lost: block 7 of volume a: block ")
    code, output, _ = run_pool("check", pool, "--json")
    report = json.loads(output)
    assert (code, report["is_sound"], report["lost_ranges"]) == (1, False, 1)
    assert (report["lost"][0]["volume"], report["lost"][0]["block"]) == ("a", 7)


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


def test_a_repair_lists_lost_blocks_and_asks(pool: Path, run_pool: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    code, output, errors = run_pool("repair", pool, "--yes")
    assert (code, output, errors) == (0, "the pool needs no repair\n", "")
    flip_bit(pool, block(8))
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert run_pool("repair", pool)[0] != 0
    assert not (pool / "repair.json").exists()
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    code, output, _ = run_pool("repair", pool)
    assert code == 0
    assert output.startswith("lost: block 7 of volume a: block ")
    assert output.endswith(f"repaired; the lost blocks are listed in {pool / 'repair.json'}\n")
    code, output, _ = run_pool("check", pool, "--json")
    assert code == 1
    assert [(each["volume"], each["block"]) for each in json.loads(output)["lost"]] == [("a", 7)]
    code, output, _ = run_pool("repair", pool, "--json")
    assert (code, json.loads(output)["is_needed"], len(json.loads(output)["lost"])) == (0, False, 1)


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
