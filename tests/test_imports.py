"""The rules of imports between modules and of access to the machine, and tests of these rules.

The tests read imports from the sources. So they need not load a module, and imports for type checkers count too. For each
module the row with the longest matching name applies.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.source_files import MODULES as FILES
from tests.source_files import SOURCES, tree_of

OURS: dict[str, tuple[tuple[str, ...], str]] = {
    # modules: (modules of this project that they may import, reason)
    "odx_target": ((), "the root names the version and must cost nothing to import"),
    "odx_target.turns": ((), "everything may count its steps"),
    "odx_target.binary_layout": (("odx_target.environment",), "every protocol may declare its formats with it"),
    "odx_target.environment": (("odx_target.turns",), "everything is passed what it names"),
    "odx_target.native": (("odx_target.native",), "it does the work of other code, but knows no module of it"),
    "odx_target.store": (
        ("odx_target.store",),
        "it knows blocks and nothing of SCSI, so that it can be tested and replaced alone",
    ),
    "odx_target.scsi": (
        ("odx_target.scsi", "odx_target.store.api"),
        "a device server runs on any store that keeps the interface",
    ),
    "odx_target.copymgr": (
        ("odx_target.copymgr", "odx_target.scsi", "odx_target.store.api"),
        "it adds rows to the command table; the device server never needs it",
    ),
    "odx_target.replica": (
        ("odx_target.replica", "odx_target.copymgr", "odx_target.scsi", "odx_target.store.api"),
        "it moves data between arrays on any store; the copy manager never needs it",
    ),
    "odx_target.iscsi": (
        ("odx_target.iscsi",),
        "the protocol without I/O carries any SCSI, and any peer may use it",
    ),
    "odx_target.initiator": (
        ("odx_target.initiator", "odx_target.iscsi"),
        "a second, independent reading of the SCSI standards; only the PDU formats are shared",
    ),
    "odx_target.migration": (
        ("odx_target.migration", "odx_target.initiator", "odx_target.store.api"),
        "it moves data from other arrays into a store; the only room of the array that acts as an initiator",
    ),
    "odx_target.target": (
        (
            "odx_target",
            "odx_target.target",
            "odx_target.iscsi",
            "odx_target.scsi",
            "odx_target.copymgr",
            "odx_target.replica",
            "odx_target.migration",
            "odx_target.store.api",
            "odx_target.store.error_kinds",
        ),
        "the edge joins the parts; which store it runs on is decided by the command line",
    ),
    "odx_target.conformance": (
        ("odx_target.conformance", "odx_target.initiator", "odx_target.iscsi"),
        "checks of any target; the array that they check must not have the same misreading of a standard",
    ),
    "odx_target.configured_pool": (
        ("odx_target.store", "odx_target.target"),
        "the array knows no kind of pool; the edges open the pool that the settings describe",
    ),
    "odx_target.replay": (
        (
            "odx_target.replay",
            "odx_target.initiator",
            "odx_target.iscsi",
            "odx_target.target",
            "odx_target.store.api",
        ),
        "it runs recorded sessions against arrays and against other targets",
    ),
    "odx_target.pytest_plugin": (
        ("odx_target.testing", "odx_target.target.config"),
        "pytest finds it; it imports the array only when a test asks for it",
    ),
    "odx_target.testing": (
        (
            "odx_target.testing",
            "odx_target.configured_pool",
            "odx_target.target",
            "odx_target.copymgr",
            "odx_target.scsi",
            "odx_target.store.api",
            "odx_target.initiator",
        ),
        "an edge beside the command line: it runs whole arrays, and hosts for them, in the tests of other projects",
    ),
    "odx_target.cli": (ANYTHING := ("odx_target.*",), "the command line wires everything"),
    "odx_target.__main__": (ANYTHING, "it is the command line under another name"),
}

FOR_ALL = (
    "odx_target.environment",
    "odx_target.turns",
    "odx_target.binary_layout",
    "odx_target.native.choice",
    "odx_target.native.checksum",
)
"""Modules that all others may import: the interfaces to the machine, the codec for all wire formats, and the native module."""

IMPORTED_ONLY_BY: dict[str, tuple[tuple[str, ...], str]] = {
    # module: (modules that may import it, reason)
    "odx_target.cli.main": (("odx_target.__main__",), "it sets up the process: exit codes, streams"),
    "odx_target.cli": (
        ("odx_target.cli",),
        "they own signals and the terminal, which an embedded array must leave alone",
    ),
    "odx_target.testing": (
        ("odx_target.testing", "odx_target.pytest_plugin"),
        "it is for other projects, and nothing of this project runs on it",
    ),
    "odx_target.configured_pool": (("odx_target.cli", "odx_target.testing"), "an array gets its pool from its caller"),
}

EDGE = (
    "odx_target.target",
    "odx_target.replay",
    "odx_target.replica.edge",
    "odx_target.testing",
    "odx_target.configured_pool",
    "odx_target.pytest_plugin",
    "odx_target.cli",
)

MACHINE: dict[str, str] = {
    # library module: part of the machine that it uses; the core gets that part from its caller
    "asyncio": "an event loop",
    "trio": "an event loop",
    "threading": "threads",
    "concurrent": "threads",
    "multiprocessing": "processes",
    "subprocess": "processes",
    "signal": "the process",
    "socket": "the network",
    "ssl": "the network",
    "select": "the network",
    "selectors": "the network",
    "time": "a clock",
    "datetime": "a clock",
    "random": "randomness",
    "secrets": "randomness",
    "uuid": "randomness",
    "os": "the file system",
    "io": "the file system",
    "fcntl": "the file system",
    "mmap": "the file system",
    "glob": "the file system",
    "pathlib": "the file system",
    "shutil": "the file system",
    "tempfile": "the file system",
    "sqlite3": "the file system",
    "logging": "the process",
    "importlib": "imports that cannot be read here",
}

MACHINE_BUILTINS = {
    "open": "the file system",
    "__import__": "imports that cannot be read here",
    "input": "the terminal",
    "print": "the terminal",
}

EXCEPTIONS: dict[str, tuple[frozenset[str], str]] = {
    # module of the core: (library modules that it may import, reason)
    "odx_target.native.choice": (
        frozenset({"os", "pathlib"}),
        "an environment variable that switches the native module off, and the age of its sources",
    ),
    "odx_target.store.segments.descriptor_cache": (
        frozenset({"os", "pathlib", "threading"}),
        "the descriptors of those segments, which several threads open and close",
    ),
    "odx_target.store.segments.file_system": (
        frozenset({"os", "pathlib"}),
        "properties of the file system in which those segments are",
    ),
    "odx_target.store.segments.preallocation": (
        frozenset({"os"}),
        "room for the files of those segments",
    ),
    "odx_target.store.segments.segment_file": (
        frozenset({"os", "pathlib", "threading"}),
        "one of those files, its calls, and its mapping, which several threads replace",
    ),
    "odx_target.store.segments.directory": (
        frozenset({"os", "pathlib", "threading"}),
        "segments as files of a directory, behind the interface; threads make and delete them",
    ),
    "odx_target.store.catalogue.sqlite": (
        frozenset({"os", "sqlite3", "pathlib", "threading"}),
        "checkpoints as a SQLite file, behind the interface; a thread saves while others read leaves",
    ),
    "odx_target.store.opening.directory_pool": (
        frozenset({"fcntl", "os", "pathlib"}),
        "the pool's directory: its lock, its format and its two parts above",
    ),
    "odx_target.store.opening.closed_pool": (
        frozenset({"pathlib"}),
        "the same directory, for a check or a repair",
    ),
    "odx_target.store.opening.capacity_directory": (
        frozenset({"os", "pathlib"}),
        "the directory of the capacity tier, and the document in it",
    ),
    "odx_target.store.pool_options": (frozenset({"pathlib"}), "the options name the directory of the capacity tier"),
    "odx_target.store.opening.renewal": (frozenset({"pathlib"}), "the head of a pool's directory, which it replaces"),
    "odx_target.store.repairing.directory_repair": (
        frozenset({"pathlib"}),
        "a repair replaces files in the directory of a pool",
    ),
    "odx_target.store.repairing.lost_head": (
        frozenset({"pathlib"}),
        "the head of a pool's directory, which a repair makes again",
    ),
    "odx_target.store.open": (frozenset({"pathlib"}), "the door to a pool in a directory"),
    "odx_target.conformance.runner": (frozenset({"trio"}), "the time limit of each check"),
    "odx_target.conformance.wire": (frozenset({"trio"}), "the sessions of checks over the network"),
    "odx_target.migration.iscsi_source": (frozenset({"trio"}), "the session with another array"),
    "odx_target.initiator.session.connecting": (frozenset({"trio"}), "the initiator's way to a portal"),
    "odx_target.initiator.session.session": (frozenset({"trio"}), "the initiator's connection and its waiting commands"),
    "odx_target.initiator.session.opening": (frozenset({"trio"}), "the start and the end of the initiator's sessions"),
    "odx_target.initiator.session.together": (frozenset({"trio"}), "the initiator's jobs that run concurrently"),
}


def region(module: str, rows: "dict[str, tuple[tuple[str, ...], str]]") -> str | None:
    """Find the longest name among `rows` that is the module or a package that contains it."""
    return max((name for name in rows if within(module, name)), key=len, default=None)


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def may_import(importer: str, imported: str) -> bool:
    """True if the rules allow an import between two modules of this project."""
    guarded = region(imported, IMPORTED_ONLY_BY)
    if guarded is not None and not any(within(importer, name) for name in IMPORTED_ONLY_BY[guarded][0]):
        return False
    home = region(importer, OURS)
    assert home is not None, f"no row covers {importer}"
    allowed, _ = OURS[home]
    if allowed == ANYTHING:
        return True
    if home == "odx_target":
        return False
    if imported == "odx_target":  # the root module with the version, not the packages in it
        return imported in allowed
    return imported in FOR_ALL or any(name != "odx_target" and within(imported, name) for name in allowed)


def imports(tree: ast.AST, module: str, *, is_package: bool) -> Iterator[tuple[int, str]]:
    """Yield (line, absolute name) of every import; `from package import name` yields package.name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")
                base = ".".join([*parts[: len(parts) - node.level + is_package], *([base] if base else [])])
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def faults_of(tree: ast.Module, module: str, *, is_package: bool = False, known: frozenset[str] = frozenset()) -> list[str]:
    """List the violations of the rules in a module, one line each.

    `known` are all modules of this project. `from package import name` imports `package`, unless `package.name` is a module.
    """
    found = []
    for line, name in imports(tree, module, is_package=is_package):
        if within(name, "odx_target"):
            imported = name if name in known else name.rpartition(".")[0] or name
            if not may_import(module, imported):
                found.append(f"{module}:{line} imports {imported}")
    if is_core(module):
        found.extend(
            f"{module}:{line} brings {MACHINE[name]}: {name}"
            for line, name in machine_imports(tree, module, is_package=is_package)
        )
        found.extend(
            f"{module}:{node.lineno} brings {MACHINE_BUILTINS[node.func.id]}: {node.func.id}()"
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MACHINE_BUILTINS
        )
    return found


def machine_imports(tree: ast.AST, module: str, *, is_package: bool) -> Iterator[tuple[int, str]]:
    excused = EXCEPTIONS.get(module, (frozenset(), ""))[0]
    for line, name in imports(tree, module, is_package=is_package):
        top = name.partition(".")[0]
        if top in MACHINE and top not in excused:
            yield line, top


def is_core(module: str) -> bool:
    """True if a module belongs to the core, which gets time, randomness, disk and network from its caller."""
    return not any(within(module, name) for name in EDGE)


def sources() -> dict[str, Path]:
    """Find the file of every module of this project."""
    found = {}
    for path in FILES:
        parts = path.relative_to(SOURCES).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = sources()


def test_the_modules_keep_the_rules() -> None:
    known = frozenset(MODULES)
    found = (
        faults_of(tree_of(path), module, is_package=path.name == "__init__.py", known=known) for module, path in MODULES.items()
    )
    assert [fault for faults in found for fault in faults] == []


def imports_within(known: frozenset[str]) -> dict[str, frozenset[str]]:
    """Find the modules of this project that each module imports, including imports for type checkers."""
    found = {}
    for module, path in MODULES.items():
        names = imports(tree_of(path), module, is_package=path.name == "__init__.py")
        imported = {name if name in known else name.rpartition(".")[0] for _, name in names}
        found[module] = frozenset(imported & known - {module})
    return found


def circle(imported: dict[str, frozenset[str]]) -> list[str]:
    """Find modules that import each other in a cycle; the last is the first again. Empty if there is no cycle."""
    done: set[str] = set()
    for start in sorted(imported):
        path = [start]
        waiting = [iter(sorted(imported[start]))]
        while waiting:
            following = next(waiting[-1], None)
            if following is None:
                done.add(path.pop())
                waiting.pop()
            elif following in path:
                return [*path[path.index(following) :], following]
            elif following not in done:
                path.append(following)
                waiting.append(iter(sorted(imported[following])))
    return []


def test_no_modules_import_each_other() -> None:
    assert circle(imports_within(frozenset(MODULES))) == []


def test_a_circle_is_found() -> None:
    imported = {"a": "b", "b": "cd", "c": "", "d": "eb", "e": ""}
    assert circle({module: frozenset(names) for module, names in imported.items()}) == ["b", "d", "b"]
    assert circle({module: frozenset(names) - {"b"} for module, names in imported.items()}) == []


def test_every_exception_is_needed() -> None:
    for module, (excused, _) in EXCEPTIONS.items():
        assert module in MODULES, f"{module} is gone"
        tree = tree_of(MODULES[module])
        used = {name.partition(".")[0] for _, name in imports(tree, module, is_package=False)}
        assert excused <= used, f"{module} no longer imports {excused - used}"


KNOWN = frozenset(
    {
        "odx_target",
        "odx_target.store",
        "odx_target.store.api",
        "odx_target.store.pool",
        "odx_target.scsi",
        "odx_target.scsi.tasks.task",
        "odx_target.copymgr.manager",
        "odx_target.conformance.runner",
        "odx_target.iscsi.pdu.headers",
        "odx_target.target.array",
        "odx_target.cli.main",
        "odx_target.cli.serving.serve",
    }
)

CASES = [
    # (module, source, number of violations)
    ("odx_target.scsi.tasks.task", "from odx_target.store.api import Pool", 0),
    ("odx_target.scsi.tasks.task", "from odx_target.store import api", 0),
    ("odx_target.scsi.tasks.task", "import odx_target.store.api", 0),
    ("odx_target.scsi.tasks.task", "from odx_target.store.pool import Pool", 1),
    ("odx_target.scsi.tasks.task", "from odx_target.store import api, pool", 1),
    ("odx_target.scsi.tasks.task", "from ...store.pool import Pool", 1),
    ("odx_target.scsi.tasks.task", "from .task_set import Row", 0),
    ("odx_target.scsi.tasks.task", "def f():\n    from odx_target.copymgr.manager import CopyManager", 1),
    ("odx_target.scsi.tasks.task", "from odx_target import __version__", 1),
    ("odx_target.scsi.tasks.task", "import time", 1),
    ("odx_target.scsi.tasks.task", "from os.path import join", 1),
    ("odx_target.scsi.tasks.task", "open('file')", 1),
    ("odx_target.scsi.tasks.task", "import struct\nfrom dataclasses import dataclass", 0),
    ("odx_target.store.pool", "from odx_target.scsi.tasks.task import Task", 1),
    ("odx_target.store.pool", "import trio, socket", 2),
    ("odx_target.copymgr.manager", "from odx_target.scsi.tasks.task import Task", 0),
    ("odx_target.copymgr.manager", "from odx_target.target.array import Array", 1),
    ("odx_target.iscsi.pdu.headers", "from odx_target.scsi.tasks.task import Task", 1),
    ("odx_target.iscsi.pdu.headers", "import secrets", 1),
    ("odx_target.target.array", "import trio, time, os", 0),
    ("odx_target.target.array", "from odx_target.store.pool import Pool", 1),
    ("odx_target.target.array", "from odx_target.cli import serve", 1),
    ("odx_target.target.array", "from odx_target.cli.main import main", 1),
    ("odx_target.target.array", "from odx_target.iscsi.pdu.headers import NopOut", 0),
    ("odx_target.cli.serving.serve", "from odx_target.store.pool import Pool", 0),
    ("odx_target.cli.serving.serve", "from odx_target.cli.main import main", 1),
    ("odx_target.cli.main", "from odx_target.cli import serve", 0),
    ("odx_target.initiator.disk", "from odx_target.iscsi.pdu.headers import NopOut", 0),
    ("odx_target.initiator.disk", "from odx_target.scsi.tasks.task import Task", 1),
    ("odx_target.initiator.disk", "from odx_target.target.array import Array", 1),
    ("odx_target.testing.host", "from odx_target.initiator.disk import Disk", 0),
    ("odx_target.testing.service", "from odx_target.configured_pool import open_pool", 0),
    ("odx_target.testing.service", "from odx_target.cli.main import main", 1),
    ("odx_target.target.array", "from odx_target.configured_pool import open_pool", 1),
    ("odx_target.cli.hosts.demo", "from odx_target.testing import running_array", 1),
    ("odx_target.conformance.runner", "from odx_target.initiator.disk import Disk", 0),
    ("odx_target.conformance.runner", "from odx_target.copymgr.manager import CopyManager", 1),
    ("odx_target.initiator.disk", "from odx_target.conformance.runner import run_checks", 1),
]


@pytest.mark.parametrize(("module", "source", "faults"), CASES)
def test_the_rules_are_read_as_they_are_meant(module: str, source: str, faults: int) -> None:
    assert len(faults_of(ast.parse(source), module, known=KNOWN)) == faults
