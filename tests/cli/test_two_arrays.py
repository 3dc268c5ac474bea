"""Two server processes on one machine that are paired by `serve --pair`, and `odx-target copy` between them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from odx_target.cli.hosts import local_arrays
from odx_target.cli.serving.links import served_links
from odx_target.initiator.url import parse_url
from odx_target.target.array import Array
from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings import ServeConfig
from odx_target.target.control.client import request
from odx_target.target.peers.socket_pairing import free_name
from odx_target.testing import running_array
from tests.cli.conftest import Run
from tests.interop.serving import Served, serve

LINK = ("--link-port", "127.0.0.1:0")


@pytest.fixture(scope="module")
def pools(module_path: Path) -> Iterator[tuple[Path, Path]]:
    """Two pools. The server of the second one pairs with the first one, and is started before it."""
    places = module_path / "a", module_path / "b"
    servers: list[Served] = []
    try:
        pair = (*LINK, "--pair", str(places[0]))
        servers.append(serve(places[1], ["dst=8M", "dst2=8M"], log_path=module_path / "b.log", options=pair))
        servers.append(serve(places[0], ["src=8M"], log_path=module_path / "a.log", options=LINK))
        yield places
    finally:
        for server in servers:
            server.kill()


def test_a_copy_between_two_arrays_is_explained(pools: tuple[Path, Path], run: Run, tmp_path: Path) -> None:
    a, b = pools
    source = parse_url(local_arrays.find_lun(f"{a}:src").url)  # type: ignore[union-attr]
    assert source.lun == 0
    with running_array({"random": "8M"}) as filled:
        filled.fill("random", None, seed=3)
        assert run("copy", filled.url("random"), f"{a}:src", "--method", "host")[0] == 0
    code, output, errors = run("copy", f"{a}:src", f"{b}:dst", "--method", "odx", "--explain", "--json")
    assert code == 0, errors
    answer = json.loads(output)
    assert answer["offloaded_bytes"] == 8 << 20
    assert answer["refusals"] == []
    assert 8 << 20 < answer["link_bytes"] < 1.05 * (8 << 20)
    code, output, _ = run("copy", f"{a}:src", f"{b}:dst2", "--explain", "--json")
    assert code == 0
    assert json.loads(output)["link_bytes"] < (8 << 20) // 100
    code, output, _ = run("copy", f"{a}:src", f"{b}:dst2", "--explain")
    assert "8388608 bytes (8.0 MiB) copied by token" in output
    assert "refused: nothing" in output
    code, output, _ = run("copy", f"{a}:src", f"{b}:dst", "--method", "host", "--explain")
    assert "link: 0 bytes" in output
    path = json.loads(run("path", "list", b, "--json")[1])
    assert (path["pairing"], [each["name"] for each in path["paths"]]) == ([], ["a"])


def test_what_cannot_be_copied(pools: tuple[Path, Path], run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_arrays, "WAIT_FOR_POOL_S", 0.0)
    a, b = pools
    assert run("copy", f"{a}:none", f"{b}:dst")[::2] == (1, f"odx-target: {a}: there is no LUN none\n")
    assert run("copy", f"{a}x:src", f"{b}:dst")[0] == 1
    url = local_arrays.find_lun(f"{a}:src").url  # type: ignore[union-attr]
    code, _, errors = run("copy", url, f"{b}:dst", "--explain")
    assert code == 2
    assert "--explain" in errors


def test_a_copy_within_an_array_waits_for_no_pairing(pools: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    a, _ = pools
    waiting = {"waiting": [{"name": "another"}]}
    monkeypatch.setattr(local_arrays, "request", lambda *given: {**request(*given), **waiting})
    monkeypatch.setattr(local_arrays, "WAIT_S", 60.0)
    monkeypatch.setattr(local_arrays.time, "sleep", lambda _: pytest.fail("the command waits"))
    assert local_arrays.path_between(a, a) is None


async def test_a_pairing_needs_a_link_port() -> None:
    array = cast(Array, None)
    with pytest.raises(ConfigError, match="--link-port"):
        async with served_links(ServeConfig(pair=(Path("a"),)), array):
            pass


@pytest.mark.parametrize(
    ("wanted", "name"), [("a", "a-3"), ("b", "b"), ("ä b", "b"), ("...", "peer"), ("x" * 99, "x" * 32), ("a b", "a-b")]
)
def test_names_of_paths(wanted: str, name: str) -> None:
    assert free_name(wanted, ["a", "a-2"]) == name
