"""`odx-target group` and `odx-target witness` with two servers and a witness, each a process of its own."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from odx_target.cli.groups import group
from odx_target.cli.groups.text import group_lines
from odx_target.cli.schemas.making import schema_of_result
from odx_target.target.control.groups.answers import PromotedGroup
from odx_target.target.control.socket_file import CONTROL_NAME
from tests.cli.conftest import Run, result
from tests.cli.schemas.validation import faults_of
from tests.interop.serving import Served, serve

pytestmark = pytest.mark.xdist_group("cli-group")  # so that the servers are started once

LINK = ("--link-port", "127.0.0.1:0")
TIMEOUT_S = 120
IN_GROUP, INSTEAD = "belongs to a group of two arrays", "change its size with `odx-target group resize`"
END_TIMEOUT_S = 20
WAYS = ("--path", "b", "--witness", "w")


@pytest.fixture(scope="module")
def places(module_path: Path) -> Iterator[dict[str, Path]]:
    """The directories of the arrays a and b and of the witness w, which pair with each other."""
    found = {name: module_path / name for name in "abw"}
    servers: list[Served] = []
    witness: subprocess.Popen[str] | None = None
    try:
        servers.append(serve(found["a"], ["db=8M", "own=1M"], log_path=module_path / "a.log", options=LINK))
        pair = (*LINK, "--pair", str(found["a"]))
        servers.append(serve(found["b"], ["other=1M"], log_path=module_path / "b.log", options=pair))
        command = [sys.executable, "-m", "odx_target", "witness", str(found["w"]), "--link", "127.0.0.1:0", "--json"]
        command += ["--pair", str(found["a"]), "--pair", str(found["b"])]
        with (module_path / "w.log").open("w") as log:
            witness = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True)
        assert witness.stdout is not None
        with witness.stdout as output:
            described = json.loads(output.readline())
        assert faults_of(described, schema_of_result("witness")) == []
        assert described["control"] == str(found["w"] / CONTROL_NAME)
        yield found
        witness.send_signal(signal.SIGTERM)
        assert witness.wait(END_TIMEOUT_S) == 0
    finally:
        if witness is not None:
            witness.kill()
            witness.wait(END_TIMEOUT_S)
        for server in servers:
            server.kill()


def until(look: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + TIMEOUT_S
    while not look():
        assert time.monotonic() < deadline_s


def paired(run: Run, place: Path) -> bool:
    return [each["state"] for each in result(run, "path list", place)["paths"]] == ["connected"] * 2


def wait_for_paths(run: Run, places: dict[str, Path]) -> None:
    for place in places.values():
        until(lambda place=place: paired(run, place))  # type: ignore[misc]


def test_a_group_from_its_creation_to_its_end(places: dict[str, Path], run: Run) -> None:
    a, b, w = places["a"], places["b"], places["w"]
    wait_for_paths(run, places)
    assert result(run, "group list", a)["groups"] == []
    made = result(run, "group create", a, "g", "--volume", "db", "--path", "b", "--witness", "w", "--lun", "db=7")
    assert (made["role"], made["path"], made["witness"]) == ("primary", "b", "w")
    until(lambda: result(run, "group status", a, "g")["condition"] == "in sync")
    (listed,) = result(run, "group list", b)["groups"]
    assert (listed["role"], listed["volumes"]) == ("secondary", [{"name": "db", "lun": 7}])
    (witnessed,) = result(run, "group list", w)["witnessed"]
    assert (witnessed["members"], witnessed["primary"]) == (["a", "b"], "a")
    assert result(run, "group verify", a, "g")["is_equal"]
    assert run("group", "verify", a, "g", "--read", "--rate", "1G")[1].startswith("both members of the group g are equal; all")
    assert result(run, "group isolate", a, "g")["condition"] == "isolated"
    assert "an operator has isolated the other member" in run("group", "status", a, "g")[1]
    result(run, "group resync", a, "g")
    until(lambda: run("group", "status", a, "g")[1].startswith("group g: in sync; this array is the primary, serving"))
    assert result(run, "status", a)["groups"]["groups"][0]["name"] == "g"
    assert "g      primary" in run("group", "list", a)[1]
    assert "a,b      a        yes" in run("group", "list", w)[1]
    taken = result(run, "group snapshot", a, "g", "s")["snapshots"]
    assert [(each["volume"], each["name"]) for each in taken] == [("db", "s")]
    result(run, "group resize", a, "g", "db", "16M")
    assert "give --shrink" in run("group", "resize", a, "g", "db", "8M")[2]
    assert run("volume", "resize", a, "db", "32M")[::2] == (1, f"odx-target: volume db {IN_GROUP}: {INSTEAD}\n")
    assert {each["name"]: each["size_bytes"] for each in result(run, "volume list", b)["volumes"]}["db"] == 16 << 20
    result(run, "group restore", a, "g", "db@s")
    assert {each["name"]: each["size_bytes"] for each in result(run, "volume list", b)["volumes"]}["db"] == 8 << 20
    assert result(run, "group add", a, "g", "own", "--lun", "3")["problem"] == ""
    until(lambda: result(run, "group status", a, "g")["condition"] == "in sync")
    assert {"name": "own", "lun": 3} in result(run, "group status", b, "g")["volumes"]
    assert run("group", "remove", a, "g", "own")[:2] == (0, "the volume own is not in the group g any more\n")
    result(run, "group switchover", a, "g")
    until(lambda: result(run, "group status", b, "g")["state"] == "serving")
    until(lambda: result(run, "group status", b, "g")["condition"] == "in sync")
    assert result(run, "group delete", b, "g") == {"schema": "deleted-group/1", "name": "g", "left": []}
    assert run("group", "delete", b, "g", "--force")[::2] == (1, "odx-target: there is no group g\n")
    assert [each["name"] for each in result(run, "volume list", a)["volumes"]] == ["own"]
    assert {each["name"]: each["lun"] for each in result(run, "volume list", b)["volumes"]} == {"db": 7, "other": 0}


def test_what_is_wrong_is_one_line(places: dict[str, Path], run: Run) -> None:
    wait_for_paths(run, places)
    for words, message in (
        (("group", "create", "A", "x", "--volume", "none", "--path", "b", "--witness", "w"), "no volume 'none'"),
        (("group", "create", "A", "x", "--volume", "own", "--path", "b", "--witness", "w", "--lun", "own"), "want VOLUME=N"),
        (
            ("group", "create", "A", "x", "--volume", "own", *WAYS, "--lun", "own=1", "--lun", "own=2"),
            "own has two LUN numbers",
        ),
        (("group", "add", "A", "x", "own"), "there is no group x"),
        (("group", "resize", "A", "x", "own", "much"), "much"),
        (("group", "create", "A", "x", "--volume", "own", "--path", "b", "--witness", "w", "--lun", "own=0"), "b refuses: "),
        (("group", "status", "A", "x"), "there is no group x"),
        (("group", "promote", "A", "x", "--force"), "there is no group x"),
        (("promote", "A", "x", "--force"), "there is no group x"),
        (("promote", "A", "x", "--force", "--lun", "3"), "a group keeps its names and LUN numbers"),
        (("volume", "list", "W"), "a witness has no operation 'volumes'"),
        (("witness", "A", "--link", "127.0.0.1:0"), "is in use by another process"),
        (("witness", "W", "--link", "nowhere:x"), "link"),
    ):
        code, _, error = run(*(str(places[word.lower()]) if word in ("A", "W") else word for word in words))
        assert code, words
        assert message in error, words
        assert error.count("\n") == 1, words


def test_a_promotion_names_what_may_be_lost(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    promoted = PromotedGroup(name="g", is_promoted=False, is_anchor_restored=True, anchor_age_s=7.5, loss="some writes")

    def ask(_pool: Path, operation: str, given: dict[str, object]) -> dict[str, object]:
        assert (operation, given["name"]) == ("group-promote", "g")
        return {**promoted, "is_promoted": given["force"]}

    monkeypatch.setattr(group, "ask_array", ask)
    assert result(run, "group promote", "pool", "g")["loss"] == "some writes"
    would = "with --force, this array becomes the primary of the group g; lost may be: some writes\n"
    assert run("group", "promote", "pool", "g") == (0, would, "")
    done = "this array is the primary of the group g; lost may be: some writes\n"
    for command in (("group", "promote", "pool", "g"), ("promote", "pool", "g")):
        assert run(*command, "--force") == (0, done, "")


def test_a_group_as_text_with_all_its_parts() -> None:
    described: dict[str, Any] = {
        "name": "g", "condition": "resync", "role": "primary", "state": "serving", "epoch": 3, "advice": "wait",
        "volumes": [{"name": "db", "lun": 7}, {"name": "log", "lun": None}],
        "path": "b", "is_peer_connected": False, "witness": None, "is_witness_connected": False,
        "out_of_sync_after_s": 20.0, "unacknowledged": 5,
        "latency": {"writes": 9, "mean_s": 0.002, "store_s": 0.001, "link_s": 0.0005, "peer_s": None},
        "resync": {
            "kind": "everything", "shipped_bytes": 1 << 20, "total_bytes": 4 << 20, "bytes_per_second": 1e6, "remaining_s": 3.2,
        },
        "reading": {"is_over": True, "failure": "cut", "read_bytes": 4096, "different": 1, "damaged": 2},
        "resyncs": 1, "verified": 2, "mismatches": 0, "local_snapshots": ["db@s", "log@s"],
    }  # fmt: skip
    assert group_lines(described) == [
        "group g: resync; this array is the primary, serving; epoch 3",
        "volumes: db (LUN 7), log",
        "other member: b (not connected); witness: removed; out of sync after 20 s",
        "unacknowledged: 5 records of the log",
        "writes: 9, mean 2 ms: store 1 ms, link 500 us, peer -",
        "resync of everything: 1.0 MiB of 4.0 MiB at 977 KiB/s, ETA 3 s",
        "reading of all data: over, ended early: cut; 4.0 KiB read, 1 parts differ, 2 cannot be read",
        "snapshots that the other member does not have: db@s, log@s",
        "since the start: 1 resyncs; 2 comparisons found both members equal, 0 found a difference",
        "g: wait",
    ]
