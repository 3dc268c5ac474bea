"""A project whose tests use the pytest plugin: runs pytest on it in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

SOURCES = Path(__file__).parents[2] / "src"
TIMEOUT_S = 120


def environment() -> dict[str, str]:
    """Return the environment of the process. The plugin may be installed too, so it is loaded only by name."""
    return {**os.environ, "PYTHONPATH": str(SOURCES), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}


def run_pytest(folder: Path, *arguments: str, files: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Write files into a folder, and run pytest there."""
    for name, text in {"pyproject.toml": "[tool.pytest.ini_options]\n", **files}.items():
        (folder / name).write_text(text)
    command = [sys.executable, "-m", "pytest", "-p", "odx_target.pytest_plugin", "-p", "no:cacheprovider", "-W", "error"]
    return subprocess.run(
        [*command, "--strict-markers", *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def run_python(folder: Path, program: str) -> subprocess.CompletedProcess[str]:
    """Run a program of the project."""
    command = [sys.executable, "-W", "error", "-c", program]
    return subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
