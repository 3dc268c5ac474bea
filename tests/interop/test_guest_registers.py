"""Tests of the workaround for User-mode-linux on processors with too many registers."""

import errno
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tests.interop.guest import registers, ways
from tests.interop.guest.image import Image

ZEN_2 = "processor\t: 0\nflags\t\t: fpu sse sse2 xsave avx avx2 sha_ni\nbugs\t\t: retbleed\n"
SAPPHIRE_RAPIDS = "processor\t: 0\nflags\t\t: fpu sse sse2 xsave avx avx2 avx512f avx512bw amx_tile pku ospke\nbugs\t\t:\n"
TRY = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace(*{arguments})
print(ctypes.get_errno())
"""
NT_PRSTATUS = 1
"""Number of the set of general registers."""


@pytest.mark.parametrize(("cpuinfo", "too_many"), [(ZEN_2, False), (SAPPHIRE_RAPIDS, True), ("", False), ("flags", False)])
def test_processors_are_told_apart_by_their_flags(cpuinfo: str, too_many: bool) -> None:
    assert registers.too_many(cpuinfo) is too_many


@pytest.mark.parametrize("flag", sorted(registers.NO_ROOM_FOR))
def test_each_flag_that_brings_registers_counts_by_itself(flag: str) -> None:
    assert registers.too_many(f"flags\t\t: fpu avx {flag} rdseed\n")


def command_line(cpuinfo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    described = tmp_path / "cpuinfo"
    described.write_text(cpuinfo)
    monkeypatch.setattr(registers, "CPUINFO", described)
    initramfs = tmp_path / "initramfs"
    initramfs.touch()
    return ways._uml(Image(tmp_path / "kernel", initramfs), tmp_path, "one", 0)


def test_the_filter_is_used_only_where_it_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = command_line(ZEN_2, tmp_path, monkeypatch)
    filtered = command_line(SAPPHIRE_RAPIDS, tmp_path, monkeypatch)
    kernel = plain.index(str(tmp_path / "kernel"))
    assert filtered[kernel : kernel + 2] == [sys.executable, registers.__file__]
    assert [*filtered[:kernel], *filtered[kernel + 2 : -1]] == plain
    assert filtered[-1].startswith("GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX,")


@pytest.mark.skipif(platform.machine() != "x86_64", reason="User-mode-linux is for x86_64 alone")
@pytest.mark.parametrize(
    ("arguments", "behind", "without"),
    [
        # No process is traced here, so a call that passes the filter fails with ESRCH.
        ((registers.PTRACE_GETREGSET, 0, registers.NT_X86_XSTATE, 0), errno.EIO, errno.ESRCH),
        ((registers.PTRACE_GETREGSET, 0, NT_PRSTATUS, 0), errno.ESRCH, errno.ESRCH),
        ((registers.PTRACE_GETREGSET + 1, 0, registers.NT_X86_XSTATE, 0), errno.ESRCH, errno.ESRCH),
    ],
)
def test_only_the_reading_of_the_extended_state_is_refused(arguments: tuple[int, ...], behind: int, without: int) -> None:
    program = [sys.executable, "-c", TRY.format(arguments=arguments)]

    def tried(command: list[str]) -> int:
        return int(subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout)

    assert tried(program) == without
    assert tried([sys.executable, registers.__file__, *program]) == behind
