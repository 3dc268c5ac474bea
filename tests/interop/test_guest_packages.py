"""Tests that packages are unpacked completely or not at all, that unused files are deleted, and that errors are one line."""

import fcntl
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.interop.guest import image, packages
from tests.interop.guest.image import build
from tests.interop.guest.packages import CannotBuild, Packages, extract

DAY_S = 86_400


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Path of a package with one file of 1 MiB, made by dpkg-deb."""
    content = tmp_path / "content"
    (content / "usr/bin").mkdir(parents=True)
    (content / "usr/bin/program").write_bytes(os.urandom(1 << 20))
    (content / "DEBIAN").mkdir()
    (content / "DEBIAN/control").write_text(
        "Package: example\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@example>\nDescription: an example\n"
    )
    made = tmp_path / "example_1_all.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", content, made], check=True, capture_output=True)
    return made


def test_all_that_matches_is_taken_and_patterns_may_match_nothing(package: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    extract(package, folder, ["./usr/*", "./no-such/*"])
    assert (folder / "usr/bin/program").stat().st_size == 1 << 20


@pytest.mark.parametrize("kept_bytes", [0, 100, 1 << 19])
def test_a_package_that_is_cut_off_is_refused(package: Path, tmp_path: Path, kept_bytes: int) -> None:
    package.write_bytes(package.read_bytes()[:kept_bytes])
    with pytest.raises(CannotBuild, match=r"example_1_all\.deb cannot be unpacked"):
        extract(package, tmp_path, ["./*"])


def test_a_package_whose_tar_is_killed_is_refused(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed tar prints nothing, and has read the whole input."""
    tar = tmp_path / "bin/tar"
    tar.parent.mkdir()
    tar.write_text("#!/bin/sh\ncat >/dev/null\nkill -KILL $$\n")
    tar.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tar.parent}:{os.environ['PATH']}")
    with pytest.raises(CannotBuild, match=r"example_1_all\.deb cannot be unpacked"):
        extract(package, tmp_path, ["./*"])


def test_a_disk_that_is_full_is_told_by_the_first_complaints(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tar = tmp_path / "bin/tar"
    tar.parent.mkdir()
    tar.write_text("#!/bin/sh\ncat >/dev/null\nfor n in 1 2 3 4 5 6; do echo No space for $n >&2; done\nexit 2\n")
    tar.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tar.parent}:{os.environ['PATH']}")
    with pytest.raises(CannotBuild, match=r"No space for 3$"):
        extract(package, tmp_path, ["./*"])


def test_apt_is_not_started_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(Packages, "_apt", lambda _self, *arguments: asked.append(arguments[0]))
    there = Packages(tmp_path)
    monkeypatch.setattr(packages.shutil, "disk_usage", lambda _path: SimpleNamespace(free=packages.ROOM_BYTES))
    there.refresh()
    assert asked == ["update"]
    (tmp_path / "packages/refreshed").unlink()
    monkeypatch.setattr(packages.shutil, "disk_usage", lambda _path: SimpleNamespace(free=packages.ROOM_BYTES - 1))
    for ask in (there.refresh, lambda: there.unpack(["example"], ["example_1_all.deb"])):
        with pytest.raises(CannotBuild, match="less than 300 MB of room"):
            ask()
    assert asked == ["update"]


def test_apt_resolves_packages_once_until_its_lists_are_refreshed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []

    def apt(_self: Packages, *arguments: str) -> str:
        asked.append(arguments)
        return f"'http://mirror.example/{arguments[-1]}.deb' {arguments[-1]}_{len(asked)}_all.deb 1 SHA256:0\n"

    monkeypatch.setattr(Packages, "_apt", apt)
    refreshed = tmp_path / "packages/refreshed"
    Packages(tmp_path)
    refreshed.touch()
    for _ in range(2):
        assert Packages(tmp_path).resolve(["one"]) == ["one_1_all.deb"]
        assert Packages(tmp_path).resolve(["two"]) == ["two_2_all.deb"]
    os.utime(refreshed, (DAY_S, DAY_S))
    assert Packages(tmp_path).resolve(["one"]) == ["one_3_all.deb"]


def test_a_folder_that_cannot_take_the_files_is_told(package: Path, tmp_path: Path) -> None:
    with pytest.raises(CannotBuild, match=r"cannot be unpacked: .*absent"):
        extract(package, tmp_path / "absent", ["./*"])


def test_what_a_killed_build_left_is_no_obstacle(package: Path, tmp_path: Path) -> None:
    there = Packages(tmp_path / "cache")
    package.rename(tmp_path / "cache/packages/archives" / package.name)
    (tmp_path / "cache/unpacked/example_1_all.half/usr").mkdir(parents=True)
    there._unpack_one(package.name, tmp_path / "cache/unpacked/example_1_all")
    assert [path.name for path in (tmp_path / "cache/unpacked").iterdir()] == ["example_1_all"]


def test_what_is_used_is_kept_and_the_rest_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = Packages(tmp_path)
    for name in ("used_1_all", "unused_1_all"):
        (tmp_path / "unpacked" / name).mkdir(parents=True)
        (tmp_path / "packages/archives" / f"{name}.deb").touch()
    later_s = packages.time.time() + 8 * DAY_S
    os.utime(tmp_path / "unpacked/used_1_all", (later_s, later_s))
    os.utime(tmp_path / "packages/archives/used_1_all.deb", (later_s, later_s))
    monkeypatch.setattr(packages.time, "time", lambda: later_s)
    there.forget(7 * DAY_S)
    left = [*(tmp_path / "unpacked").iterdir(), *(tmp_path / "packages/archives").glob("*.deb")]
    assert sorted(path.name for path in left) == ["used_1_all", "used_1_all.deb"]


def test_unpacked_packages_may_be_deleted(tmp_path: Path) -> None:
    there = Packages(tmp_path)
    (tmp_path / "unpacked").rmdir()
    there.forget(7 * DAY_S)


def test_downloads_that_were_broken_off_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = Packages(tmp_path)
    partial = tmp_path / "packages/archives/partial/example_1_all.deb"
    partial.touch()
    later_s = packages.time.time() + 8 * DAY_S
    monkeypatch.setattr(packages.time, "time", lambda: later_s)
    there.forget(7 * DAY_S)
    assert not partial.exists()


def test_an_archive_out_of_reach_is_not_asked_again_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def fail(_self: Packages, *arguments: str) -> str:
        asked.append(arguments[0])
        raise CannotBuild("out of reach")

    monkeypatch.setattr(Packages, "_apt", fail)
    there = Packages(tmp_path)
    for _ in range(2):  # Without any lists, each attempt must call apt again.
        with pytest.raises(CannotBuild):
            there.refresh()
    refreshed = tmp_path / "packages/refreshed"
    refreshed.touch()
    monkeypatch.setattr(packages, "LISTS_ARE_FRESH_S", 0)
    there.refresh()
    assert asked == ["update"] * 2
    monkeypatch.setattr(packages, "FAILURES_REST_S", 0)
    there.refresh()
    assert asked == ["update"] * 3


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "odx-target").write_text("a file where a folder has to be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(CannotBuild, match="the cache of guests: ") as refused:
        build("uml")
    assert "\n" not in str(refused.value)


def test_a_user_without_a_home_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", none)
    with pytest.raises(CannotBuild, match="the cache of guests: Could not determine home directory"):
        build("uml")


def test_what_cannot_be_built_is_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def fail(_folder: Path, kind: str, extras: tuple[str, ...]) -> None:
        tried.append(f"{kind} {extras}")
        raise CannotBuild("out of reach")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(image, "_build", fail)
    for _ in range(2):
        with pytest.raises(CannotBuild, match="out of reach"):
            build("uml")
    assert tried == ["uml ()"]


def test_nobody_waits_for_ever_for_another_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(image, "LOCK_TIMEOUT_S", 0)
    (tmp_path / "odx-target/guest").mkdir(parents=True)
    with (tmp_path / "odx-target/guest/lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(CannotBuild, match="somebody else has been building"):
            build("uml")
