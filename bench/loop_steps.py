"""Serves an array, and notes each step of its event loop.

    python -m bench.loop_steps FILE.json ... serve ...   serves until a signal, and then writes the steps to FILE.json

A step is the work of one task between two moments at which other tasks may run. A pass of the hub is a step of its own, and so
is a collection of Python's garbage collector. The notes take one to three microseconds for each step.
"""

import gc
import json
import sys
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import TypeVar

import trio

import odx_target
from odx_target.cli.main import main as serve_by_command_line
from odx_target.target.server.hub import Hub

Result = TypeVar("Result")

SOURCES = f"{Path(odx_target.__file__).parent}/"
WAIT, PASS, COLLECTOR, LOOP = "wait for commands", "pass of the hub", "garbage collector", "event loop"
"""Kinds of steps. The kind of a task's step is the function that goes on in it."""
FILES_OF_WAITS = ("turns.py", "target/trio_environment.py")
"""Files whose functions wait on behalf of others."""


@dataclass(frozen=True)
class Steps:
    """Steps in the order of their beginnings. `names` are the names of kinds, `kinds` the index of each step's kind, and
    `starts_s` the times of their beginnings. Each step ends when the next one begins.
    """

    names: list[str]
    kinds: list[int]
    starts_s: list[float]


class StepNotes(trio.abc.Instrument):
    """Notes the steps of the event loop of this process. `clock` returns the time in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._indices: dict[str, int] = {}
        self._kinds = array("H")
        self._starts_s = array("d")
        self._kind = LOOP
        self._before_collection = LOOP
        self._kind_of_code: dict[CodeType, str | None] = {}

    def steps(self) -> Steps:
        return Steps(list(self._indices), self._kinds.tolist(), self._starts_s.tolist())

    def begin(self, kind: str) -> None:
        """Note that a step begins."""
        self._kind = kind
        self._kinds.append(self._indices.setdefault(kind, len(self._indices)))
        self._starts_s.append(self._clock())

    def before_io_wait(self, timeout: float) -> None:
        self.begin(WAIT if timeout > 0 else LOOP)

    def after_io_wait(self, timeout: float) -> None:  # noqa: ARG002
        self.begin(LOOP)

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.begin(self._kind_of(task))

    def after_task_step(self, task: trio.lowlevel.Task) -> None:  # noqa: ARG002
        self.begin(LOOP)

    def collects(self, phase: str, _info: dict[str, int]) -> None:
        """Note the beginning or the end of a collection of garbage. Python calls this function."""
        if phase == "start":
            self._before_collection = self._kind
            self.begin(COLLECTOR)
        else:
            self.begin(self._before_collection)

    def noted(self, kind: str, function: Callable[..., Result]) -> Callable[..., Result]:
        """Return a function whose calls are steps of a kind. The present step goes on after a call, unless it is a wait."""

        def call(*arguments: object) -> Result:
            outer = self._kind
            self.begin(kind)
            try:
                return function(*arguments)
            finally:
                if outer != WAIT:
                    self.begin(outer)

        return call

    def _kind_of(self, task: trio.lowlevel.Task) -> str:
        """Return the innermost function of the array that goes on in the next step of a task."""
        kind, coroutine = LOOP, task.coro
        while coroutine is not None:
            frame = getattr(coroutine, "cr_frame", None)
            if frame is not None:
                kind = self._kind_of_function(frame.f_code) or kind
            coroutine = getattr(coroutine, "cr_await", None)
        return kind

    def _kind_of_function(self, code: CodeType) -> str | None:
        if code not in self._kind_of_code:
            file = code.co_filename.removeprefix(SOURCES)
            is_shown = file != code.co_filename and file not in FILES_OF_WAITS
            self._kind_of_code[code] = f"{Path(file).name}: {code.co_qualname}" if is_shown else None
        return self._kind_of_code[code]


def note_hub(notes: StepNotes) -> None:
    """Note the passes of each hub, and each moment at which a hub looks for commands."""
    for name, kind in (("_make_pass", PASS), ("_readable", WAIT), ("serve_now", WAIT)):
        setattr(Hub, name, notes.noted(kind, getattr(Hub, name)))


def main(words: list[str]) -> None:
    notes, run = StepNotes(), trio.run

    def run_noted(*arguments: object, **options: object) -> object:
        return run(*arguments, instruments=[notes], **options)  # type: ignore[arg-type]

    note_hub(notes)
    gc.callbacks.append(notes.collects)
    setattr(trio, "run", run_noted)  # noqa: B010 - mypy knows the types of `trio.run`
    sys.argv = ["odx-target", *words[words.index("serve") :]]
    try:
        serve_by_command_line()
    finally:
        Path(words[0]).write_text(json.dumps(vars(notes.steps())))


if __name__ == "__main__":
    main(sys.argv[1:])
