"""`odx-target protect`, `replicate` and `remote` with two server processes, and what is wrong."""

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odx_target.cli.replication.graph import graph_lines, spark
from tests.cli.conftest import Run, result

KEY = "K" * 26


def test_a_volume_from_its_protection_to_a_clone_of_its_copy(pools: tuple[Path, Path], run: Run) -> None:
    one, other = pools
    address = json.loads(run("path", "list", other, "--json")[1])["link_port"]
    assert run("path", "add", one, "b", address, "--key-file", "-", stdin=KEY)[0] == 0
    assert run("path", "add", other, "a", "--key-file", "-", stdin=KEY)[0] == 0
    deadline_s = time.monotonic() + 60
    while "connected" not in run("path", "list", one)[1]:
        assert time.monotonic() < deadline_s
    protection = result(run, "protect", one, "vm1", "--path", "b", "--keep-there", "manual=3")
    assert (protection["name"], protection["keep_there"]) == ("vm1", {"manual": 3})
    taken = result(run, "replicate", one, "vm1", "--now", "--wait", "60")
    code, output, _ = run("replicate", one, "vm1", "--wait", "60")
    assert (code, output) == (0, "the snapshots of vm1 were sent\n")
    (copy,) = result(run, "remote list", other)["copies"]
    assert (copy["name"], copy["newest"]) == ("peer/a/vm1", taken["snapshots"][0]["name"])
    for pool, name in zip(pools, ("vm1", "peer/a/vm1"), strict=True):
        code, output, _ = run("remote", "list", pool)
        assert code == 0
        assert f"\n{name} " in output
    assert result(run, "remote clone", other, "peer/a/vm1", "test")["volumes"][0]["lun"] == 1
    assert "test2" in run("remote", "clone", other, f"peer/a/vm1@{copy['newest']}", "test2", "--read-only")[1]
    assert result(run, "promote", other, "peer/a/vm1", "--name", "moved", "--lun", "9")["lun"] == 9
    rates = result(run, "remote graph", one, "b", "--rows", "1s")
    assert rates["columns"] == ["sent_logical", "sent_network", "received_logical", "received_network"]
    assert run("remote", "graph", one, "b", "--rows", "5m") == (0, "nothing has crossed the path b in this time\n", "")
    assert result(run, "reverse", one, "vm1")["snapshots"] == []
    code, output, _ = run("replicate", other, "moved", "--now", "--wait", "60")
    assert code == 0
    assert run("promote", one, "vm1")[1].startswith("LUN 0: vm1")
    assert "is a copy now" in run("reverse", other, "moved")[1]
    assert run("protect", one, "vm1", "--remove") == (0, "vm1 is not protected any more\n", "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("protect", "a", "vm1"), "want the path"),
        (("protect", "a", "vm1", "vm2", "--remove"), "name of one protection"),
        (("protect", "a", "vm1", "--path", "b", "--keep-there", "daily"), "want CLASS=N"),
        (("protect", "a", "vm1", "--path", "none"), "no path none"),
        (("replicate", "a", "vm9", "--now"), "vm9 is not protected"),
        (("remote", "clone", "a", "peer/x/y", "z"), "no copy peer/x/y"),
        (("remote", "graph", "a", "none"), "no path none"),
        (("remote", "graph", "a", "none", "--rows", "7s"), "want 1s, 10s, 5m"),
    ],
)
def test_what_is_wrong_is_one_line(pools: tuple[Path, Path], run: Run, words: tuple[str, ...], message: str) -> None:
    command = [str(pools[0]) if word == "a" else word for word in words]
    code, _, error = run(*command)
    assert code
    assert message in error
    assert error.count("\n") == 1


def test_the_rates_of_a_path_are_drawn_from_the_first_transfer_on() -> None:
    rows = [[0.0] * 4] * 500 + [[4096.0, 1024.0, 0.0, 0.0], [2048.0, 0.0, 0.0, 0.0], [0.0] * 4, [1024.0] * 4]
    columns = ["sent_logical", "sent_network", "received_logical", "received_network"]
    lines = graph_lines({"path": "b", "seconds": 10, "columns": columns, "bytes_per_second": rows})
    assert lines[0] == "the last 0.667 minutes of the path b:"
    assert lines[1] == "sent data            |█▄ ▂| now 1.0 KiB/s, most 4.0 KiB/s, mean 1.8 KiB/s"
    assert lines[2] == "sent on the link     |█  █| now 1.0 KiB/s, most 1.0 KiB/s, mean 512 bytes/s"
    week = graph_lines({"path": "b", "seconds": 300, "columns": columns, "bytes_per_second": rows[-4:-3] * 2016})
    assert week[0] == "the last 10,080 minutes of the path b:"
    assert graph_lines({"path": "b", "seconds": 1, "columns": columns, "bytes_per_second": rows[:9]}) == [
        "nothing has crossed the path b in this time"
    ]


@given(st.lists(st.floats(0, 1e15), min_size=1, max_size=300), st.integers(1, 80))
def test_each_peak_is_in_the_graph(values: list[float], width: int) -> None:
    drawn = spark(values, width)
    assert len(drawn) == min(width, len(values))
    assert ("█" in drawn) == any(values)
    assert all(
        (drawn[at * len(drawn) // len(values)] == " ") <= (value == 0)
        for at, value in enumerate(values)
        if len(values) <= width
    )
