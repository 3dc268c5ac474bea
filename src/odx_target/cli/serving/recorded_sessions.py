"""`serve --record`: the sessions of all hosts are recorded to a file."""

from collections.abc import Iterator
from contextlib import contextmanager

from odx_target.target.clock.array_clock import ArrayClock
from odx_target.target.clock.mode import ClockMode
from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings import Config, ServeConfig
from odx_target.target.inputs.input_clock import InputClock
from odx_target.target.inputs.recorder import SessionRecorder, is_new_pool, opened_recorder


def check_recording(settings: Config, files: ServeConfig) -> None:
    """Check that a recording will be complete, replaces no file, and has no secret of a pool that stays. Raises ConfigError.

    The random numbers of a recorded array follow from a seed in the recording, and so would the secret of a new pool.
    """
    if files.record is not None and files.record.is_file() and files.record.stat().st_size:
        raise ConfigError(f"{files.record} exists: --record writes a new file, and replaces no recording")
    if files.record is not None and files.link_port is not None:
        raise ConfigError("a recording does not contain what other arrays send: record without --link-port")
    if files.record is not None and settings.pool_dir is not None and is_new_pool(settings.pool_dir):
        raise ConfigError(
            f"the pool in {settings.pool_dir} is new, and its secret would follow from the recording: serve it once without "
            "--record, or record without the directory of a pool"
        )


def clock_of(files: ServeConfig) -> ArrayClock | None:
    """Return the clock of the array. The object is made in a trio task. A recorded array has a clock that can be advanced."""
    if files.record is not None:
        return InputClock(ClockMode.SHIFTED if files.clock is ClockMode.REAL else files.clock)
    return None if files.clock is ClockMode.REAL else ArrayClock(files.clock)


@contextmanager
def recorded_sessions(settings: Config, files: ServeConfig, clock: ArrayClock | None) -> Iterator[SessionRecorder | None]:
    """Record all sessions while the body runs, if the settings ask for it. Raises OSError if the file cannot be opened."""
    if files.record is None:
        yield None
        return
    assert isinstance(clock, InputClock)
    is_new = is_new_pool(settings.pool_dir)
    with opened_recorder(files.record, clock, files.record_limit_bytes, is_new_pool=is_new) as recorder:
        yield recorder
