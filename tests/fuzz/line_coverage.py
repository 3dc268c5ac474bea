"""The lines of the program that ran, as a guide for the search.

A function is traced only until all of its lines have run, so the trace costs less and less while the search goes on. Tools for
coverage trace every line for ever, or cannot be asked for the new lines of each of thousands of short runs.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import odx_target

ROOT = Path(odx_target.__file__).parent


class LineCoverage:
    """Notes lines that run for the first time, in the files of the given folders below `src/odx_target`."""

    def __init__(self, packages: Sequence[str]) -> None:
        self._prefixes = tuple(str(ROOT / package) for package in packages)
        self._left: dict[int, set[int]] = {}
        self._codes: list[CodeType] = []  # keeps them alive, because `_left` knows them by their addresses
        self._new: list[str] = []
        self.count_lines = 0

    def __enter__(self) -> "LineCoverage":
        sys.settrace(self._call)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def take(self) -> set[str]:
        """Return the lines that have run for the first time since the last call."""
        new, self._new = set(self._new), []
        self.count_lines += len(new)
        return new

    def _call(self, frame: FrameType, event: str, _: Any) -> Any:
        code = frame.f_code
        left = self._left.get(id(code))
        if left is None:
            left = self._left[id(code)] = set(_lines(code)) if code.co_filename.startswith(self._prefixes) else set()
            self._codes.append(code)
        if not left:
            return None

        def line(frame: FrameType, event: str, _: Any) -> Any:
            number = frame.f_lineno
            if event == "line" and number in left:
                left.discard(number)
                self._new.append(f"{code.co_filename[len(str(ROOT)) + 1 :]}:{number}")
            return line if left else None

        return line


def count_all_lines(packages: Sequence[str]) -> int:
    """Return the number of lines of code in functions below the folders, whether they run or not."""
    files = {path for package in packages for path in _files(ROOT / package)}
    return sum(_count_lines(path) for path in files)


def _files(path: Path) -> Iterator[Path]:
    return path.rglob("*.py") if path.is_dir() else iter((path.with_suffix(".py"),))


def _count_lines(path: Path) -> int:
    module = compile(path.read_text(encoding="utf-8"), str(path), "exec")
    return len({line for code in _functions(module) for line in _lines(code)})


def _functions(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            if constant.co_flags & 2:  # CO_NEWLOCALS: a function, not the body of a class
                yield constant
            yield from _functions(constant)


def _lines(code: CodeType) -> Iterator[int]:
    return (line for _, _, line in code.co_lines() if line is not None and line != code.co_firstlineno)
