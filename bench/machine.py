"""Facts about the machine and the versions, for the pages of results."""

import os
import platform
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from odx_target import __version__
from odx_target.native.choice import NATIVE

FOLDER = Path(__file__).parent
MODEL = "model name"


def facts() -> dict[str, str]:
    """Return the machine, the versions and the date by their names, in the order of a page."""
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / (1 << 30):.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "congestion control of TCP": _text_of("/proc/sys/net/ipv4/tcp_congestion_control"),
        "Python": platform.python_version(),
        "odx-target": f"{__version__}, commit {commit()}",
        "native module of odx-target": "none" if NATIVE is None else "used",
        "load average at the start": f"{os.getloadavg()[0]:.1f}; above 0.5, the processor was shared with other work",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def package_versions(names: list[str]) -> dict[str, str]:
    """Return the versions of installed Debian packages."""
    return {name: _printed("dpkg-query", "--show", "--showformat=${Version}", name) or "unknown" for name in names}


def commit(revision: str = "HEAD") -> str:
    """Return the short name of a commit, with a mark if the work tree has other changes."""
    name = _printed("git", "rev-parse", "--short", revision) or "unknown"
    return f"{name} with changes" if revision == "HEAD" and _printed("git", "status", "--porcelain") else name


def as_markdown(rows: Mapping[str, str]) -> str:
    """Return facts as a Markdown table without headings."""
    return "| | |\n|---|---|\n" + "".join(f"| {name} | {value} |\n" for name, value in rows.items())


def _processor() -> str:
    models = [line for line in _text_of("/proc/cpuinfo").splitlines() if line.startswith(MODEL)]
    return models[0].split(":", 1)[1].strip() if models else platform.machine()


def _text_of(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return "unknown"


def _printed(*words: str) -> str:
    try:
        ended = subprocess.run(words, cwd=FOLDER, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return ended.stdout.strip() if ended.returncode == 0 else ""
