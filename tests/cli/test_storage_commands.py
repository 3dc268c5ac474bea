"""`odx-target volume`, `snapshot` and `clone`, on a pool that an array serves and on one that no array serves."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from odx_target.cli import main as cli
from odx_target.cli.storage.lun import app as lun_app
from odx_target.cli.storage.schedule import app as schedule_app
from odx_target.cli.storage.snapshot import app as snapshot_app
from odx_target.cli.storage.volume import app as volume_app
from odx_target.target.control.storage.table import STORAGE_OPERATIONS
from tests.cli.conftest import Run
from tests.interop.serving import serve

FAILURE, USAGE = 1, 2
LUNS = ("a=1M", "b=8K,block=4096")


@pytest.fixture(params=["served", "not served"])
def pool(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    served = serve(tmp_path / "pool", LUNS, log_path=tmp_path / "log")
    if request.param == "not served":
        served.stop()
    yield tmp_path / "pool"
    if request.param == "served":
        served.kill()


@pytest.fixture
def run(pool: Path, run: Run) -> Run:
    """Return a function that runs a command on the pool, as `run` does."""
    return lambda command, *arguments: run(*command.split(), pool, *arguments)


def answer(result: tuple[int, str, str]) -> Any:
    code, out, said = result
    assert code == 0, said
    return json.loads(out)


def test_every_operation_has_a_command() -> None:
    commands = {
        *(f"volume-{name}" for name in get_command(volume_app).commands),  # type: ignore[attr-defined]
        *(f"lun-{name}" for name in get_command(lun_app).commands if name != "list"),  # type: ignore[attr-defined]
        *(f"schedule-{name}" for name in get_command(schedule_app).commands),  # type: ignore[attr-defined]
        *(f"snapshot-{name}" for name in get_command(snapshot_app).commands),  # type: ignore[attr-defined]
        "clone",
        "status",
    }
    others = {
        "volumes": "volume-list",
        "snapshots": "snapshot-list",
        "allocated": "snapshot-diff",
        "schedules": "schedule-list",
    }
    assert {others.get(name, name) for name in STORAGE_OPERATIONS} == commands


def test_a_life_of_snapshots_and_clones(run: Run) -> None:
    code, out, _ = run("snapshot create", "a@one", "b@one", "--attribute", "by=me")
    assert (code, [line.split(",")[0] for line in out.splitlines()]) == (0, ["created a@one", "created b@one"])
    (made, _) = answer(run("snapshot list", "--json"))["snapshots"]
    assert made["attributes"]["by"] == "me"
    assert made["group"]
    assert made["guid"] in run("snapshot list", "a")[1]
    assert "unique bytes: 0 (0 bytes)" in run("snapshot show", "a@one")[1]
    assert run("snapshot hold", "a@one", "backup")[0] == 0
    code, out, said = run("snapshot delete", "a@one")
    assert (code, out) == (FAILURE, "")
    assert "backup" in said
    assert run("snapshot unhold", "a@one", "backup")[0] == 0
    clones = answer(run("clone", "a@one", "vm-{}", "--count", "12", "--lun", "--json"))["volumes"]
    assert [each["name"] for each in clones][-2:] == ["vm-11", "vm-12"]
    assert [each["lun"] for each in clones] == list(range(2, 14))
    assert run("clone", made["guid"], "one")[1] == "no LUN: one, 1048576 bytes in blocks of 512\n"
    assert len(run("volume list")[1].splitlines()) == 2 + 15
    assert run("snapshot rename", "a@one", "two")[0] == 0
    assert run("volume delete", "one")[1] == "deleted one; 0 snapshots of it remain\n"
    assert run("snapshot create", "vm-11@last")[0] == 0
    assert run("volume delete", "vm-11", "--force")[1] == "deleted vm-11; 1 snapshot of it remains\n"
    assert run("snapshot delete", "vm-11@last")[0] == 0
    assert run("snapshot restore", "a@two")[1] == "restored LUN 0: a, 1048576 bytes in blocks of 512\n"
    assert run("snapshot delete", "a@two")[1].startswith("deleted a@two")
    assert len(answer(run("snapshot list", "--json"))["snapshots"]) == 1


def test_a_life_of_a_volume(run: Run) -> None:
    assert run("volume create", "c=2M")[1] == "no LUN: c, 2097152 bytes in blocks of 512\n"
    assert run("volume create", "d=2M", "--lun")[1] == "LUN 2: d, 2097152 bytes in blocks of 512\n"
    for name in ("c", "d"):
        assert answer(run("volume resize", name, "3M", "--json"))["size_bytes"] == 3 << 20
        code, _, said = run("volume resize", name, "1M")
        assert code == FAILURE
        assert "--shrink" in said
        assert answer(run("volume resize", name, "512", "--shrink", "--json"))["size_bytes"] == 512
        assert run("volume rename", name, f"{name}2")[0] == 0
        assert run("volume delete", f"{name}2", "--force")[0] == 0
    assert len(answer(run("volume list", "--json"))["volumes"]) == 2


def test_the_compression_of_a_volume(run: Run) -> None:
    assert run("volume create", "c=2M,compression=zstd")[1] == "no LUN: c, 2097152 bytes in blocks of 512, compression zstd\n"
    assert run("volume set", "a", "compression=lz4")[1] == "LUN 0: a, 1048576 bytes in blocks of 512, compression lz4\n"
    assert answer(run("volume set", "a", "compression=off", "--json"))["compression"] == "off"
    for setting in ("compression=best", "compression", "size=1M", ""):
        assert run("volume set", "a", setting)[0] == USAGE


def test_a_life_of_a_lun(run: Run) -> None:
    assert run("volume create", "c=2M")[0] == 0
    assert run("lun add", "c", "--number", "300")[1] == "LUN 300: c, 2097152 bytes in blocks of 512\n"
    assert run("lun renumber", "c", "7")[1] == "LUN 7: c, 2097152 bytes in blocks of 512\n"
    assert run("volume read-only", "c", "on")[1] == "LUN 7: c, 2097152 bytes in blocks of 512, read-only\n"
    assert [each["lun"] for each in answer(run("lun list", "--json"))["volumes"]] == [0, 1, 7]
    assert run("volume read-only", "c", "off")[1] == "LUN 7: c, 2097152 bytes in blocks of 512\n"
    assert run("lun remove", "c")[1] == "no LUN: c, 2097152 bytes in blocks of 512\n"
    assert len(run("lun list")[1].splitlines()) == 2 + 2
    assert len(run("volume list")[1].splitlines()) == 2 + 3
    assert run("lun add", "c")[1] == "LUN 2: c, 2097152 bytes in blocks of 512\n"
    assert run("volume rename", "c", "d")[1].startswith("LUN 2: d,")
    assert run("volume delete", "d", "--force")[0] == 0


def test_a_life_of_a_schedule(run: Run) -> None:
    code, out, _ = run("schedule add", "hourly", "--every", "hourly", "--at", "0,30", "--keep-for", "2d", "--default")
    assert code == 0
    assert out.startswith("added hourly: hourly at :00,:30, keeps for 2d, applies to 2 volumes, default, next run 2")
    added = answer(
        run("schedule add", "w", "--every", "weekly", "--days", "sun,mon", "--at", "02:00", "--volume", "a", "--json")
    )
    assert (added["days"], added["at"], added["keep"], added["volumes"]) == (["mon", "sun"], ["02:00"], 4, 1)
    assert run("schedule assign", "b", "w", "hourly")[1] == "schedules of b: hourly, w\n"
    assert run("schedule assign", "b", "--none")[1] == "schedules of b: none\n"
    assert run("schedule change", "w", "--before", "false", "--on-failure", "crash-consistent")[0] == 0
    code, out, _ = run("schedule run", "w")
    assert code == 0
    assert out.splitlines()[0].startswith("created a@w-2")
    assert out.splitlines()[1] == "only crash-consistent: false: exit code 1"
    code, out, _ = run("schedule change", "w", "--disable", "--before", "")
    assert out.endswith(", disabled\n")
    assert "volumes: a" in run("schedule show", "w")[1]
    rows = [line.split()[:2] for line in run("schedule list")[1].splitlines()[2:]]
    assert rows == [["hourly", "hourly"], ["w", "weekly"]]
    assert run("schedule remove", "w")[0] == 0
    assert [each["name"] for each in answer(run("schedule list", "--json"))["schedules"]] == ["hourly"]
    assert len(answer(run("snapshot list", "--json"))["snapshots"]) == 1


def test_a_snapshot_between_two_commands(run: Run) -> None:
    assert run("snapshot create", "a@one", "--before", "true", "--after", "true", "--timeout", "9")[1].startswith(
        "created a@one"
    )
    code, out, said = run("snapshot create", "a@two", "--before", "false")
    assert (code, out, said) == (FAILURE, "", "odx-target: no snapshot was taken: false: exit code 1\n")
    code, out, _ = run("snapshot create", "a@two", "--before", "false", "--on-failure", "crash-consistent")
    assert (code, out.splitlines()[1:]) == (0, ["only crash-consistent: false: exit code 1"])
    assert "consistency=application" in run("snapshot show", "a@one")[1]


def test_differences_are_lines_of_json(run: Run) -> None:
    assert run("snapshot create", "a@one")[0] == 0
    assert run("snapshot diff", "a@one")[:2] == (0, "")
    assert run("snapshot diff", "a@one", "--allocated")[:2] == (0, "")
    assert run("snapshot diff", "a@one", "a", "--allocated")[0] == USAGE


MISTAKES = [
    ("snapshot create", ("a",), USAGE),
    ("snapshot create", ("a@one", "b@two"), FAILURE),
    ("snapshot create", ("c@one",), FAILURE),
    ("snapshot create", ("a@one", "--attribute", "by"), USAGE),
    ("snapshot create", ("a@one", "--before", "true", "--timeout", "1e308"), USAGE),
    ("snapshot create", ("a@one", "--before", "true", "--timeout", "nan"), USAGE),
    ("snapshot delete", ("a@one",), FAILURE),
    ("snapshot restore", ("a@one",), FAILURE),
    ("clone", ("a", "b"), FAILURE),
    ("clone", ("a", "c", "--count", "0"), USAGE),
    ("volume create", ("c",), USAGE),
    ("volume delete", ("c",), FAILURE),
    ("lun add", ("a",), FAILURE),
    ("lun add", ("c",), FAILURE),
    ("lun add", ("a", "--number", "16384"), USAGE),
    ("lun remove", ("c",), FAILURE),
    ("lun renumber", ("a", "1"), FAILURE),
    ("volume read-only", ("a", "yes"), USAGE),
    ("schedule add", ("s",), USAGE),
    ("schedule add", ("a b", "--every", "daily"), USAGE),
    ("schedule add", ("s", "--every", "daily", "--keep-for", "1y"), USAGE),
    ("schedule add", ("s", "--every", "yearly"), USAGE),
    ("schedule add", ("s", "--every", "hourly", "--at", "60"), USAGE),
    ("schedule change", ("s",), USAGE),
    ("schedule change", ("s", "--keep", "1"), FAILURE),
    ("schedule assign", ("a",), USAGE),
    ("schedule assign", ("a", "s", "--default"), USAGE),
    ("schedule run", ("s",), FAILURE),
]


def test_a_mistake_is_one_line(run: Run, pool: Path) -> None:
    for command, arguments, code in MISTAKES:
        found, out, said = run(command, *arguments)
        assert (found, out, said.count("\n")) == (code, "", 1)


def test_there_may_be_no_pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["odx-target", "volume", "list", str(tmp_path / "nothing")])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == FAILURE
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "nothing").exists()


def test_the_tier_of_a_volume_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, tier = tmp_path / "pool", tmp_path / "tier"
    for is_served in (True, False):
        served = serve(path, ("a=1M",), log_path=tmp_path / "log", options=("--capacity-tier", str(tier)))
        if not is_served:
            served.stop()
        wanted = "capacity" if is_served else "fast"
        monkeypatch.setattr(sys, "argv", ["odx-target", "volume", "set", str(path), "a", f"tier={wanted}", "--json"])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert not ended.value.code
        assert json.loads(capsys.readouterr().out)["tier"] == wanted
        if is_served:
            served.stop()
    tier.rename(tmp_path / "elsewhere")
    monkeypatch.setattr(sys, "argv", ["odx-target", "volume", "list", str(path)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == FAILURE
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{tier}/tier.json is missing" in line
