"""The build of the native module, as a build hook of hatchling and as a program: `python hatch_build.py`.

The module is optional. If there is no compiler, no Python.h or no suitable processor, the package is built without the module,
and the array runs in Python.
"""

import platform
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # This file runs as a program.
    BuildHookInterface = object  # type: ignore[assignment, misc]

ROOT = Path(__file__).parent
SOURCES = ROOT / "src" / "odx_target" / "native"
OPTIONS = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-fPIC", "-shared", "-fvisibility=hidden")
PROCESSORS = ("x86_64", "AMD64")
TIMEOUT_S = 120


def library() -> Path:
    """Return the path of the module for this Python."""
    return SOURCES / f"compiled{sysconfig.get_config_var('EXT_SUFFIX')}"


def build(options: tuple[str, ...] = ()) -> str | None:
    """Build the module beside its sources. Returns None, or the reason for which it could not be built. An older module, which
    may not fit the sources, is removed in any case.
    """
    library().unlink(missing_ok=True)
    if platform.machine() not in PROCESSORS:
        return f"processors of the kind {platform.machine()} are not supported"
    include = Path(sysconfig.get_path("include"))
    if not (include / "Python.h").is_file():
        return f"there is no {include / 'Python.h'} (Debian: python3-dev)"
    compiler = shlex.split(sysconfig.get_config_var("CC") or "cc")
    made = library().with_suffix(".new")
    folders, sources = (f"-I{include}", f"-I{SOURCES}"), map(str, sorted(SOURCES.rglob("*.c")))
    command = [*compiler, *OPTIONS, *options, *folders, *sources, "-o", str(made)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=TIMEOUT_S)  # noqa: S603 - a fixed command
        made.replace(library())
    except subprocess.CalledProcessError as error:
        return f"the compiler failed: {error.stderr.strip()}"
    except (OSError, subprocess.SubprocessError) as error:
        return f"the compiler could not run: {error}"
    finally:
        made.unlink(missing_ok=True)
    return None


class NativeBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Adds the native module to a wheel if it can be built."""

    def initialize(self, _version: str, build_data: dict[str, Any]) -> None:
        reason = build()
        if reason is not None:
            self.app.display_warning(f"The native module is left out: {reason}")
            return
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["artifacts"].append(str(library().relative_to(ROOT)))


def main() -> int:
    reason = build(tuple(sys.argv[1:]))
    print(reason or f"built {library()}")  # noqa: T201 - this is its only output
    return 0 if reason is None else 1


if __name__ == "__main__":
    sys.exit(main())
