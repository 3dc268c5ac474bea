"""A running guest. It gets scripts through a shared folder, and reports their end on its console."""

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

from tests.interop.guest.diagnosis import STATE_SCRIPT, kernel_answers, seen_from_host

T = TypeVar("T")

BOOT_TIMEOUT_S = 180
"""Time limit of a boot, several times as long as a boot by QEMU without virtualisation on a machine with ten busy processes for
each processor."""

SCRIPT_TIMEOUT_S = 120
END_TIMEOUT_S = 15
READY = "guest: ready"
ENDED = re.compile(r"guest: ended (\d+) (\d+)")
ALIVE = re.compile(r"guest: alive (\d+)")

ANSWER_TIMEOUT_S = 10
"""Time limit for an answer on the console. An answer takes milliseconds, and less than a second on a busy machine."""

STATE_TIMEOUT_S = 10
"""Time limit for the script that prints the state of the guest. After this time, the lines printed so far are used."""

PANIC = "Kernel panic"
CONSOLE_SHOWN_CHARACTERS = 6000


class GuestError(AssertionError):
    """The guest did not boot or died, or a script did not end in time. The message has the last output of the console."""


class GuestFrozen(GuestError):
    """A script did not end in time, and the kernel of the guest does not answer. So the array is not the cause."""


@dataclass(frozen=True, slots=True)
class Ended:
    """Exit status and output of a script that has ended."""

    status: int
    output: str


class Job:
    """A script that runs in the guest. `output` can be read while the script runs."""

    def __init__(self, machine: "Machine", number: int, folder: Path) -> None:
        self._machine = machine
        self._number = number
        self._folder = folder

    @property
    def status(self) -> int | None:
        """Exit status of the script, or None while it runs."""
        return self._machine.statuses.get(self._number)

    @property
    def output(self) -> str:
        path = self._folder / "output"
        return path.read_text(errors="replace") if path.exists() else ""

    def wait(self, timeout_s: float = SCRIPT_TIMEOUT_S) -> Ended:
        """Wait for the end of the script. Raises GuestError after `timeout_s`."""
        status = self._machine.wait_until(lambda: self.status, timeout_s, lambda: f"the end of:\n{self.output}")
        return Ended(status, self.output)

    def wait_for(self, text: str, timeout_s: float = SCRIPT_TIMEOUT_S) -> None:
        """Wait until the script has printed `text`. Raises GuestError if the script ends first, or after `timeout_s`."""

        def said_or_ended() -> bool | None:
            return True if text in self.output or self.status is not None else None

        self._machine.wait_until(said_or_ended, timeout_s, lambda: f"{text!r} in:\n{self.output}")
        if text not in self.output:
            raise GuestError(f"the script ended without {text!r}:\n{self.output}")


class Machine:
    """A booted guest. `arguments` start it with its console on standard input and output; `share` is its /share.

    `undo` is the command that removes the resources of the guest if its first process was killed.
    """

    def __init__(self, arguments: list[str], share: Path, undo: Sequence[str] = ()) -> None:
        self.share = share
        self._undo = undo
        self.statuses: dict[int, int] = {}
        self.seconds_to_ready = 0.0
        self._console: list[str] = []
        self._changed = threading.Condition()
        self._over = False
        self._is_frozen = False
        self._jobs = 0
        self._questions = 0
        self._answered: set[int] = set()
        self._portal = ""
        # The launchers end with their parent (setpriv), so nothing remains if the tests are killed.
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
        return not self._over and not self._is_frozen and PANIC not in self.console

    @property
    def exit_status(self) -> int | None:
        return self._process.poll()

    def wait_until_ready(self, timeout_s: float = BOOT_TIMEOUT_S) -> None:
        started_s = time.monotonic()
        if self._look_until(lambda: True if READY in self.console else None, timeout_s) is None:
            raise GuestError(f"waited {timeout_s} s for the boot of the guest; its console:\n{self.console}")
        self.seconds_to_ready = time.monotonic() - started_s

    def start(self, script: str, variables: Mapping[str, str] | None = None) -> Job:
        """Start a script in the background, after /lib/scenario.sh is read. Several scripts may run at once."""
        self._jobs += 1
        folder = self.share / str(self._jobs)
        folder.mkdir()
        self._portal = (variables or {}).get("portal", self._portal)
        settings = "".join(f"{name}='{value}'\n" for name, value in (variables or {}).items())
        (folder / "script").write_text(f". /lib/scenario.sh\n{settings}{script}\n")
        self._say(f"run {self._jobs}")
        return Job(self, self._jobs, folder)

    def wait_until(self, look: Callable[[], T | None], timeout_s: float, what: Callable[[], str]) -> T:
        """Call `look` every 50 ms and after each console output, until it returns a value other than None; return that value.

        Raises GuestError, with the text that `what` returns, if the guest ends first or after `timeout_s`. After `timeout_s`,
        the message shows whether the guest or the array has stopped working. If the guest does not answer, the guest is ended
        and the error is GuestFrozen.
        """
        found = self._look_until(look, timeout_s)
        if found is not None:
            return found
        if not self.is_running:
            raise GuestError(f"the guest ended while waiting for {what()}; its console:\n{self.console}")
        raise self._overdue(f"waited {timeout_s} s for {what()}")

    def _look_until(self, look: Callable[[], T | None], timeout_s: float) -> T | None:
        """Return the first value of `look` other than None. Return None if the guest ends first, or after `timeout_s`."""
        deadline_s = time.monotonic() + timeout_s
        with self._changed:
            while (found := look()) is None:
                if not self.is_running or time.monotonic() > deadline_s:
                    return None
                self._changed.wait(0.05)
            return found

    def _overdue(self, waited: str) -> GuestError:
        """Return the error for a wait that took too long, with all findings about the guest. End the guest if it is frozen."""
        from_host = seen_from_host(self.share, self._portal)
        if self._answers():
            kind, findings = GuestError, f"the guest answers, and so its kernel works:\n{self._state()}"
        elif not self.is_running:
            kind, findings = GuestError, "the guest has ended"
        elif kernel_answers(self.share, ANSWER_TIMEOUT_S):
            kind, findings = (
                GuestError,
                f"the guest's kernel answers, but its first program did not in {ANSWER_TIMEOUT_S} s",
            )
        else:
            kind, findings = GuestFrozen, f"the guest did not answer in {ANSWER_TIMEOUT_S} s"
        error = kind(f"{waited}\n{findings}\n{from_host}\nthe console:\n{self.console}")
        if kind is GuestFrozen:
            self._is_frozen = True
            self._process.kill()
        return error

    def _answers(self) -> bool:
        """Ask the guest for an answer on its console, and return True if it comes in time."""
        self._questions += 1
        number = self._questions
        self._say(f"alive {number}")
        return self._look_until(lambda: True if number in self._answered else None, ANSWER_TIMEOUT_S) is True

    def _state(self) -> str:
        """Return the state of the guest's processes, connections and disks, as far as the guest prints it in time."""
        job = self.start(STATE_SCRIPT)
        self._look_until(lambda: job.status, STATE_TIMEOUT_S)
        return job.output

    def close(self) -> None:
        """End the guest in any state, and remove its resources."""
        if not self._is_frozen:
            self._process.terminate()
        try:
            self._process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(END_TIMEOUT_S)
        self._reader.join(END_TIMEOUT_S)
        if self._undo and self._process.returncode == -signal.SIGKILL:
            # The process may have ended already.
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
            ended, alive = ENDED.search(line), ALIVE.search(line)
            with self._changed:
                self._console.append(line)
                if ended:
                    self.statuses[int(ended[1])] = int(ended[2])
                if alive:
                    self._answered.add(int(alive[1]))
                self._changed.notify_all()
        with self._changed:
            self._over = True
            self._changed.notify_all()
