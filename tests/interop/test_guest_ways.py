"""Which ways of booting are tried, and what is said of one that does not work; no guest is booted here."""

import subprocess
from pathlib import Path

import pytest

from tests.interop.guest import conftest as guests
from tests.interop.guest import ways
from tests.interop.guest.conftest import ways_of
from tests.interop.guest.image import Image
from tests.interop.guest.machine import Machine
from tests.interop.guest.ways import INTERFACE_IN_USE, NO_INTERFACE, WAYS, CannotBoot


@pytest.mark.parametrize(
    ("usable", "automatic", "every"),
    [({"uml", "tcg"}, ["uml"], ["uml", "tcg"]), ({"tcg"}, ["tcg"], ["tcg"]), (set(), ["tcg"], ["tcg"])],
)
def test_the_first_way_that_works_and_all_that_do(
    monkeypatch: pytest.MonkeyPatch, usable: set[str], automatic: list[str], every: list[str]
) -> None:
    monkeypatch.setattr(guests, "unusable", lambda name: "" if name in usable else "does not work")
    assert ways_of("auto") == automatic
    assert ways_of("all") == every
    assert ways_of("kvm,uml") == ["kvm", "uml"], "as asked for"


@pytest.mark.parametrize("wanted", ["qemu", "uml,qemu", "", "UML"])
def test_a_way_that_there_is_not_is_a_usage_error(wanted: str) -> None:
    with pytest.raises(pytest.UsageError, match="some of uml, kvm, tcg"):
        ways_of(wanted)


def launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int) -> Path:
    """A stand-in that ends at once, and counts how often it was started."""
    script = tmp_path / "launcher"
    script.write_text(f"#!/bin/sh\necho started >>{tmp_path}/count\necho 'Operation not permitted' >&2\nexit {status}\n")
    script.chmod(0o755)
    monkeypatch.setattr(ways, "LAUNCH_UML", script)
    monkeypatch.setattr(ways, "_uml_lacks", lambda: "")
    return tmp_path / "count"


def test_root_without_the_right_to_make_interfaces_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    launcher(tmp_path, monkeypatch, NO_INTERFACE)
    assert ways._interface_trouble() == "has no network interface: Operation not permitted"
    launcher(tmp_path, monkeypatch, INTERFACE_IN_USE)
    assert ways._interface_trouble() == ""


def test_a_launcher_that_finds_no_interface_is_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = launcher(tmp_path, monkeypatch, NO_INTERFACE)
    initramfs = tmp_path / "initramfs"
    initramfs.touch()
    monkeypatch.setattr(ways, "build", lambda kind, *, with_fio: Image(tmp_path / "kernel", initramfs))
    monkeypatch.setitem(WAYS, "uml", ways.Way("uml", "uml", lambda: "", ways._uml))
    with pytest.raises(CannotBoot, match="uml has no network interface: Operation not permitted"):
        ways.boot("uml", "one")
    assert count.read_text() == "started\n"


def test_a_guest_that_cannot_be_started_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways.tempfile, "mkdtemp", lambda prefix: str(tmp_path / prefix))
    (tmp_path / ways.SHARE_PREFIX).mkdir()
    way = ways.Way("none", "uml", lambda: "", lambda *_: [str(tmp_path / "no-such-program")])
    with pytest.raises(FileNotFoundError):
        ways._try(way, Image(tmp_path, tmp_path), "one")
    assert not (tmp_path / ways.SHARE_PREFIX).exists()


def test_the_launcher_says_why_there_is_no_interface(tmp_path: Path) -> None:
    """Without `ip` in its way it can make none."""
    ip = tmp_path / "ip"
    ip.write_text("#!/bin/sh\necho 'not here' >&2\nexit 2\n")
    ip.chmod(0o755)
    ended = subprocess.run(
        [ways.LAUNCH_UML, f"odxtest{tmp_path.name[-3:]}", "10.213.202.1/24", "true"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == NO_INTERFACE


def test_machines_know_how_their_process_ended(tmp_path: Path) -> None:
    share = tmp_path / "share"
    share.mkdir()
    with Machine(["/bin/sh", "-c", "exit 7"], share) as machine:
        machine._process.wait()
        assert machine.exit_status == 7
