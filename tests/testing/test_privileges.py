"""An array for tests needs no privileges of root."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.testing.other_project import environment

PROGRAM = """
from pathlib import Path
from odx_target.testing import running_array

assert "CapEff:\t0000000000000000" in Path("/proc/self/status").read_text()
with running_array({"a": "1M", "b": "1M"}, directory="pool") as array:
    array.fill("a", None, seed=1)
    assert array.host().copy("a", "b").offloaded_bytes == 1 << 20
    assert array.digest("a") == array.digest("b")
print("done")
"""


def test_an_array_needs_no_privileges(tmp_path: Path) -> None:
    words = [sys.executable, "-W", "error", "-c", PROGRAM]
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("setpriv, which drops the privileges of root, is not installed")
        words = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *words]
    done = subprocess.run(words, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "done\n", done.stderr
