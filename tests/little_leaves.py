"""Maps with leaves of few blocks, so that small volumes have many leaves."""

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

MODULE = "odx_target.store.map.entries"

LEAF_BITS = os.environ.get("ODX_TEST_LEAF_BITS")
"""Number of bits of a block number in a leaf, in this run of the tests. None if leaves are as always."""


def make_leaves_little(bits: int) -> None:
    """Change the size of all leaves of this process. No module of the store may have been imported yet."""
    assert MODULE not in sys.modules
    spec = importlib.util.find_spec(MODULE)
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).read_text()
    size = 1 << bits
    for name, value, little in (
        ("LEAF_BLOCKS", 1024, size),
        ("LEAF_BITS", 10, bits),
        ("MAX_RUNS", 128, size // 2),
        ("RUNS_TO_PACK", 64, size // 4),
    ):
        line = f"\n{name} = {value}\n"
        assert source.count(line) == 1
        source = source.replace(line, f"\n{name} = {little}\n")
    module = ModuleType(MODULE)
    module.__file__ = spec.origin
    sys.modules[MODULE] = module
    exec(compile(source, spec.origin, "exec"), module.__dict__)
