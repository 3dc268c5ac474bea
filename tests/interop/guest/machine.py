"""A running guest: scripts go in through a shared folder, the console says which have ended."""

import contextlib
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

T = TypeVar("T")

BOOT_TIMEOUT_S = 60
"""Twenty times what a boot takes on a busy machine."""

SCRIPT_TIMEOUT_S = 120
END_TIMEOUT_S = 15
READY = "guest: ready"
ENDED = re.compile(r"guest: ended (\d+) (\d+)")
PANIC = "Kernel panic"
CONSOLE_SHOWN_CHARACTERS = 6000


class GuestError(AssertionError):
    """The guest did not boot, died, or a script did not end in time; the message has the console's last words."""


@dataclass(frozen=True, slots=True)
class Ended:
    """What a script left."""

    status: int
    output: str


class Job:
    """A script that runs in the guest. `output` may be read while it runs."""

    def __init__(self, machine: "Machine", number: int, folder: Path) -> None:
        self._machine = machine
        self._number = number
        self._folder = folder

    @property
    def output(self) -> str:
        path = self._folder / "output"
        return path.read_text(errors="replace") if path.exists() else ""

    def wait(self, timeout_s: float = SCRIPT_TIMEOUT_S) -> Ended:
        """Raises GuestError if it takes longer."""
        status = self._machine.wait_until(
            lambda: self._machine.statuses.get(self._number), timeout_s, lambda: f"the end of:\n{self.output}"
        )
        return Ended(status, self.output)

    def wait_for(self, text: str, timeout_s: float = SCRIPT_TIMEOUT_S) -> None:
        """Until the script has printed `text`. Raises GuestError if it ends without, or takes longer."""

        def said_or_ended() -> bool | None:
            return True if text in self.output or self._number in self._machine.statuses else None

        self._machine.wait_until(said_or_ended, timeout_s, lambda: f"{text!r} in:\n{self.output}")
        if text not in self.output:
            raise GuestError(f"the script ended without {text!r}:\n{self.output}")


class Machine:
    """A booted guest. `arguments` start it with its console on standard input and output; `share` is its /share.

    `undo` is what to run if that first process is killed, and so could not take away what it made.
    """

    def __init__(self, arguments: list[str], share: Path, undo: Sequence[str] = ()) -> None:
        self.share = share
        self._undo = undo
        self.statuses: dict[int, int] = {}
        self.seconds_to_ready = 0.0
        self._console: list[str] = []
        self._changed = threading.Condition()
        self._over = False
        self._jobs = 0
        # the launchers end with their parent (setpriv), so nothing stays if the tests are killed
        self._process = subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def console(self) -> str:
        return "".join(self._console)[-CONSOLE_SHOWN_CHARACTERS:]

    @property
    def is_running(self) -> bool:
        return not self._over and PANIC not in self.console

    @property
    def exit_status(self) -> int | None:
        return self._process.poll()

    def wait_until_ready(self, timeout_s: float = BOOT_TIMEOUT_S) -> None:
        started_s = time.monotonic()
        self.wait_until(lambda: True if READY in self.console else None, timeout_s, lambda: "its boot")
        self.seconds_to_ready = time.monotonic() - started_s

    def start(self, script: str, variables: Mapping[str, str] | None = None) -> Job:
        """Run a script beside others, with /lib/scenario.sh read first."""
        self._jobs += 1
        folder = self.share / str(self._jobs)
        folder.mkdir()
        settings = "".join(f"{name}='{value}'\n" for name, value in (variables or {}).items())
        (folder / "script").write_text(f". /lib/scenario.sh\n{settings}{script}\n")
        self._say(f"run {self._jobs}")
        return Job(self, self._jobs, folder)

    def wait_until(self, look: Callable[[], T | None], timeout_s: float, what: Callable[[], str]) -> T:
        """What `look` gives as soon as it is not None; it is called when the console speaks and every 50 ms.

        Raises GuestError if the guest ends first or it takes longer, with what `what` says then.
        """
        deadline_s = time.monotonic() + timeout_s
        with self._changed:
            while (found := look()) is None:
                if not self.is_running:
                    raise GuestError(f"the guest ended while waiting for {what()}; its console:\n{self.console}")
                if time.monotonic() > deadline_s:
                    raise GuestError(f"waited {timeout_s} s for {what()}; the console:\n{self.console}")
                self._changed.wait(0.05)
            return found

    def close(self) -> None:
        """End the guest, however it is, and all that belongs to it."""
        self._process.terminate()
        try:
            self._process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(END_TIMEOUT_S)
        self._reader.join(END_TIMEOUT_S)
        if self._undo and self._process.returncode == -signal.SIGKILL:
            # it may be gone already
            subprocess.run(self._undo, stdin=subprocess.DEVNULL, capture_output=True, timeout=END_TIMEOUT_S, check=False)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        shutil.rmtree(self.share, ignore_errors=True)

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise GuestError(f"the guest has ended; its console:\n{self.console}") from None

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            ended = ENDED.search(line)
            with self._changed:
                self._console.append(line)
                if ended:
                    self.statuses[int(ended[1])] = int(ended[2])
                self._changed.notify_all()
        with self._changed:
            self._over = True
            self._changed.notify_all()
