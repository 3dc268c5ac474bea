"""Tests of paths that a configuration file names: their tables, and what the array does with them when it starts."""

from pathlib import Path
from typing import Any

import pytest
import trio
from structlog.testing import capture_logs

from odx_target.cli.serving.links import served_links
from odx_target.replica.link.throttle import Rates
from odx_target.replica.pairing import path_key
from odx_target.replica.paths.settings import MAX_PATHS, Address, CompressionChoice, Right
from odx_target.target.config.error import ConfigError
from odx_target.target.config.path_settings import path_templates_of
from odx_target.target.config.settings import Config, PathTemplate, Portal, ServeConfig
from odx_target.target.control.operations import perform
from odx_target.target.peers import peering as peering_module
from odx_target.target.peers.configured_paths import open_configured_paths
from tests.target.peers.test_path_operations import KEY, connected, linked, paths
from tests.target.running import LUNS, running


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stretch keys only a little, and dial again soon."""
    monkeypatch.setattr(path_key, "SCRYPT_COST", 2)
    monkeypatch.setattr(peering_module, "PAIRING_RETRY_S", 0.01)


def test_the_keys_of_a_path(tmp_path: Path) -> None:
    throttle = {"off-peak": "200M", "peak": "20M", "peak-hours": "08:00-18:00"}
    row = {
        "name": "b",
        "peer": "[::1]:3261",
        "key-file": "b.key",
        "rights": ["replicate"],
        "throttle": throttle,
        "compress": "wan",
    }
    rates = Rates(200 << 20, 20 << 20, (480, 1080))
    assert path_templates_of([row, {"name": "c", "throttle": "1M"}], tmp_path) == (
        PathTemplate("b", Address("::1", 3261), tmp_path / "b.key", frozenset([Right.REPLICATE]), rates, CompressionChoice.WAN),
        PathTemplate("c", rates=Rates(1 << 20)),
    )
    assert len(path_templates_of([{"name": f"p{number}"} for number in range(MAX_PATHS)], tmp_path)) == MAX_PATHS


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"name": "a"}, r"want tables \[\[path\]\]"),
        ([{}], "name: want"),
        ([{"name": "a", "speed": 1}], "unknown key 'speed'"),
        ([{"name": "a"}, {"name": "a"}], "named twice"),
        ([{"name": f"p{number}"} for number in range(MAX_PATHS + 1)], "17 paths are over the limit of 16"),
        ([{"name": "a", "peer": "host"}], "path a: address: want"),
        ([{"name": "a", "key-file": 5}], "path a: key-file: want"),
        ([{"name": "a", "rights": ["fly"]}], "path a: rights: want"),
        ([{"name": "a", "throttle": 5.5}], "path a: throttle: want a rate"),
        ([{"name": "a", "throttle": {"speed": 1}}], "path a: throttle: want a rate"),
        ([{"name": "a", "throttle": {"peak": "1M"}}], "path a: peak hours and their rate need each other"),
        ([{"name": "a", "compress": "zip"}], "path a: compress: want auto, off, lan, wan"),
        ([{"name": "a", "throttle": "1K"}], "path a: a throttle is"),
        ([{"name": "a", "throttle": {"peak": "1M", "peak-hours": "8-9"}}], "path a: peak_hours: want"),
    ],
)
def test_tables_that_are_refused(value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        path_templates_of(value, Path())


async def test_two_arrays_with_the_same_key_file_are_paired_and_later_keep_what_the_file_does_not_name(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(KEY)
    key.chmod(0o600)
    async with linked() as (one, _), linked() as (other, address):
        assert one.peering is not None
        assert other.peering is not None
        host, _, port = address.rpartition(":")
        peer = Address(host, int(port))
        first = PathTemplate("b", peer, key, frozenset([Right.REPLICATE]), Rates(20 << 20), CompressionChoice.WAN)
        with capture_logs() as logs:
            await open_configured_paths(other.peering, [PathTemplate("a", None, key)], other.reporter)
            await open_configured_paths(one.peering, [first], one.reporter)
            await connected(one, other)
        assert not [entry for entry in logs if entry["log_level"] in ("warning", "error")]
        (row,) = (await paths(one))["paths"]
        assert (row["rights"], row["throttle_bytes_per_s"]) == (["replicate"], 20 << 20)
        assert row["compression"] == "wan"
        await open_configured_paths(one.peering, [PathTemplate("b", rates=Rates(30 << 20))], one.reporter)
        (row,) = (await paths(one))["paths"]
        assert (row["address"], row["rights"], row["throttle_bytes_per_s"]) == (address, ["replicate"], 30 << 20)
        (row,) = (await paths(other))["paths"]
        assert (row["rights"], row["throttle_bytes_per_s"]) == (sorted(Right), None)


async def test_paths_that_cannot_be_used_are_reported_and_others_wait(tmp_path: Path) -> None:
    (tmp_path / "short").write_text("short")
    (tmp_path / "key").write_text(KEY)
    (tmp_path / "key").chmod(0o644)
    templates = [
        PathTemplate("unpaired"),
        PathTemplate("absent", None, tmp_path / "absent"),
        PathTemplate("short", None, tmp_path / "short"),
        PathTemplate("folder", None, tmp_path),
        PathTemplate("good", None, tmp_path / "key"),
        PathTemplate("same", None, tmp_path / "key"),
    ]
    async with linked() as (array, _):
        assert array.peering is not None
        with capture_logs() as logs:
            await open_configured_paths(array.peering, templates, array.reporter)
        assert [row["name"] for row in (await paths(array))["waiting"]] == ["good"]
    errors = {entry["path"]: entry["error"] for entry in logs if entry["log_level"] == "error"}
    assert list(errors) == ["unpaired", "absent", "short", "folder", "same"]
    assert "no key-file" in errors["unpaired"]
    assert "want a path key of 12" in errors["short"]
    assert "same path key" in errors["same"]
    assert any("other users can use the key file" in entry["event"] for entry in logs)
    assert KEY not in repr(logs)


async def test_configured_paths_need_a_link_port() -> None:
    async with running(Config(luns=LUNS)) as array:
        with pytest.raises(ConfigError, match="link-port"):
            async with served_links(ServeConfig(paths=(PathTemplate("a"),)), array):
                raise AssertionError
        async with served_links(ServeConfig(link_port=Portal("127.0.0.1", 0), paths=(PathTemplate("a"),)), array):
            with trio.fail_after(20):
                assert (await perform(array, "paths", {}))["waiting"] == []
