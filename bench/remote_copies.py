"""Measures a copy by token from one array to another beside a copy through the host. Prints one line of JSON.

    python -m bench.remote_copies new       copy by token of data that the other array does not have
    python -m bench.remote_copies known     copy of the same data again, to another LUN
    python -m bench.remote_copies host      `qemu-img convert` from one array to the other, for comparison

Half of each block is random, and the other half is zero. Link bytes are counted in both directions, and compared with the data
as LZ4 compresses it. The start of `odx-target copy` takes as long as the copy of many megabytes, so rates by token are given
without and with it.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lz4.block
from bench.link_arrays import MEMORY
from bench.processes import used_s
from tests.interop.links import LINK
from tests.interop.serving import Served, serve

MIB = 1 << 20
SIZE_MIB = 256
BLOCK_BYTES = 4096
TIMEOUT_S = 300.0


def run(*words: str) -> str:
    """Run a program, and return its output."""
    ended = subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
    return ended.stdout


def odx(*words: str | Path) -> dict[str, Any]:
    """Run a command of odx-target with --json, and return its result. Raises subprocess.SubprocessError."""
    found: dict[str, Any] = json.loads(run(sys.executable, "-m", "odx_target", *map(str, words), "--json"))
    return found


def link_bytes(pool: Path) -> int:
    """Return the bytes that the only path of an array has moved in both directions."""
    (row,) = odx("path", "list", pool)["paths"]
    return int(row["sent_bytes"] + row["received_bytes"])


@contextmanager
def paired(folder: Path) -> Iterator[tuple[Served, Served]]:
    """Run two paired arrays. The first has a LUN with data, and the second has two empty LUNs."""
    size = f"{SIZE_MIB}M"
    one = serve(folder / "a", [f"src={size}"], log_path=folder / "a.log", options=LINK)
    other = serve(folder / "b", [f"dst={size}", f"again={size}"], log_path=folder / "b.log", options=LINK)
    try:
        (folder / "key").touch(mode=0o600)
        (folder / "key").write_text(str(odx("path", "key")["key"]))
        address = str(odx("path", "list", folder / "a")["link_port"])
        odx("path", "add", folder / "a", "b", "--key-file", folder / "key")
        odx("path", "add", folder / "b", "a", address, "--key-file", folder / "key")
        end = time.monotonic() + TIMEOUT_S
        while not all(odx("path", "list", folder / name)["paths"] for name in "ab"):
            assert time.monotonic() < end, "the arrays are not paired"
        yield one, other
    finally:
        one.kill()
        other.kill()


def image(path: Path) -> int:
    """Write the data into a file. Returns its size as LZ4 compresses it, in frames of 64 blocks as the link does."""
    compressed = 0
    with path.open("wb") as file, Path("/dev/urandom").open("rb") as source:
        for _ in range(SIZE_MIB * MIB // (64 * BLOCK_BYTES)):
            data = b"".join(source.read(BLOCK_BYTES // 2).ljust(BLOCK_BYTES, b"\0") for _ in range(64))
            file.write(data)
            compressed += len(lz4.block.compress(data, store_size=False))
    return compressed


class Spent:
    """The time that the processors spend on a copy, from the start of this object on: in both arrays, and in programs."""

    def __init__(self, arrays: tuple[Served, Served]) -> None:
        self._pids = [each.process.pid for each in arrays]
        self._arrays_s, self._programs_s = self._now_s()

    def _now_s(self) -> tuple[float, float]:
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        return sum(map(used_s, self._pids)), ended.ru_utime + ended.ru_stime

    def figures(self) -> dict[str, float]:
        """Return the times so far for each MiB of the copy."""
        arrays_s, programs_s = self._now_s()
        return {
            "processor ms per MiB, arrays": (arrays_s - self._arrays_s) / SIZE_MIB * 1e3,
            "processor ms per MiB, programs": (programs_s - self._programs_s) / SIZE_MIB * 1e3,
        }


def measure(kind: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as name, paired(Path(name)) as arrays:
        folder, (one, other) = Path(name), arrays
        compressed = image(folder / "image")
        run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", str(folder / "image"), one.url(0))
        if kind == "host":
            spent, began = Spent(arrays), time.perf_counter()
            run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", one.url(0), other.url(0))
            return {"MB/s": SIZE_MIB * MIB / (time.perf_counter() - began) / 1e6, **spent.figures()}
        if kind == "known":
            odx("copy", one.url(0), other.url(1), "--method", "odx")
        before, spent, began = link_bytes(folder / "b"), Spent(arrays), time.perf_counter()
        report = odx("copy", one.url(0), other.url(0), "--method", "odx")
        elapsed_s, figures = time.perf_counter() - began, spent.figures()
        moved = link_bytes(folder / "b") - before
        run("qemu-img", "compare", "-f", "raw", "-F", "raw", str(folder / "image"), other.url(0))
        return {
            "MB/s": SIZE_MIB * MIB / float(str(report["elapsed_s"])) / 1e6,
            "MB/s with the start of the program": SIZE_MIB * MIB / elapsed_s / 1e6,
            **figures,
            "link bytes per compressed byte": moved / compressed,
            "link bytes per byte": moved / (SIZE_MIB * MIB),
        }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.remote_copies", description="Measure copies between two arrays.")
    parser.add_argument("kind", choices=["new", "known", "host"])
    print(json.dumps(measure(parser.parse_args().kind)))


if __name__ == "__main__":
    main()
