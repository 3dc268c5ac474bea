"""A workaround for User-mode-linux on processors with more registers than it can keep.

User-mode-linux saves the registers of the guest's processes with PTRACE_GETREGSET and PTRACE_SETREGSET of NT_X86_XSTATE. Its
buffer ends with the AVX registers, but Linux only accepts the whole state of the processor. So with AVX-512 no process starts.
If User-mode-linux cannot read that state, it uses PTRACE_GETFPREGS and PTRACE_SETFPREGS for x87 and SSE, which always work.
Therefore a filter refuses PTRACE_GETREGSET, and the C library of the guest is set not to use the other registers.

Run as a program, `registers.py PROGRAM ARGUMENT...` starts PROGRAM with this filter.
"""

import ctypes
import os
import struct
import sys
from collections.abc import Sequence
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")

NO_ROOM_FOR = frozenset({"avx512f", "amx_tile", "pku", "apx_f"})
"""Flags in /proc/cpuinfo of extensions with more registers than AVX."""

LEFT_ALONE = ("AVX", "AVX2", "AVX512F", "AVX512BW", "AVX512CD", "AVX512DQ", "AVX512VL", "AVX_Fast_Unaligned_Load")

PR_SET_SECCOMP = 22
PR_SET_NO_NEW_PRIVS = 38
SECCOMP_MODE_FILTER = 2
SECCOMP_RET_ALLOW = 0x7FFF0000
SECCOMP_RET_ERRNO_EIO = 0x00050005
PTRACE_GETREGSET = 0x4204
NT_X86_XSTATE = 0x202

REFUSED = (
    # (offset in `struct seccomp_data`, value)
    (4, 0xC000003E),  # the architecture: AUDIT_ARCH_X86_64
    (0, 101),  # the call: ptrace
    (16, PTRACE_GETREGSET),  # its first argument
    (32, NT_X86_XSTATE),  # its third
)

LOAD = 0x20
JUMP_IF_EQUAL = 0x15
RETURN = 0x06


def too_many(cpuinfo: str) -> bool:
    """True if /proc/cpuinfo describes a processor with registers that User-mode-linux cannot keep."""
    flags = next((line for line in cpuinfo.splitlines() if line.startswith("flags")), "")
    return not NO_ROOM_FOR.isdisjoint(flags.split())


def behind_filter(command: Sequence[str]) -> list[str]:
    """Extend the command line of User-mode-linux for a processor with too many registers."""
    tunables = f"GLIBC_TUNABLES=glibc.cpu.hwcaps={','.join(f'-{name}' for name in LEFT_ALONE)}"
    return [sys.executable, __file__, *command, tunables]


def _filter() -> bytes:
    program = []
    for left, (place, value) in zip(range(len(REFUSED) - 1, -1, -1), REFUSED, strict=True):
        program.append((LOAD, 0, 0, place))
        program.append((JUMP_IF_EQUAL, 0, 2 * left + 1, value))  # to the next comparison, or past the refusal
    program.append((RETURN, 0, 0, SECCOMP_RET_ERRNO_EIO))
    program.append((RETURN, 0, 0, SECCOMP_RET_ALLOW))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


class _Program(ctypes.Structure):
    """The C structure `struct sock_fprog`."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def _refuse_reading() -> None:
    code = _filter()
    instructions = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(code) // 8, ctypes.addressof(instructions))
    libc = ctypes.CDLL(None, use_errno=True)
    for option in ((PR_SET_NO_NEW_PRIVS, 1, 0), (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program))):
        if libc.prctl(*option, 0, 0) != 0:
            sys.exit(f"no filter: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    _refuse_reading()
    os.execv(sys.argv[1], sys.argv[1:])
