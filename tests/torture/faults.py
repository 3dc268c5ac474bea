"""The steps that let time pass, let the cleaner work, make the disk fail, or end the process or the power."""

from odx_target.store.api import DamagedBlock, PoolFailed, StoreError
from odx_target.store.checking.scrub import DEFAULT_RATE_BYTES
from odx_target.store.segments.supply import REFUSED_S
from tests.sim.simulated_disk import Crash
from tests.store.pools import check_simulated_pool
from tests.torture import schedule_steps, token_steps
from tests.torture.array import NO_ROOM
from tests.torture.run import Difference, Run
from tests.torture.setup import SEGMENT_BLOCKS


def few_turns(run: Run, count: int) -> None:
    for _ in range(count):
        run.array.environment.step()
        run.array.disk.check_on()


def settle(run: Run) -> None:
    run.array.environment.settle()


def advance(run: Run, milliseconds: int) -> None:
    run.array.environment.advance(milliseconds / 1000)
    run.array.disk.check_on()
    run.array.run(run.array.manager.expire_in_turns(lambda: None))


def jump_clock(run: Run, seconds: int) -> None:
    """Set the wall clock. Tokens may expire earlier after the next restart."""
    run.array.set_clock(float(seconds))
    for token in run.tokens:
        token.survives_restart = False


def clean(run: Run, turns: int) -> None:
    """Start the cleaner without regard to its pauses, and let it work for some turns; 0 means until it waits."""
    cleaner = run.array.pool.cleaner
    cleaner._blocked_until = cleaner._rest_until = float("-inf")
    cleaner._need._gained_nothing_at = None
    if not cleaner._is_at_work and run.array.pool.failure is None:
        cleaner._start()
    if turns:
        few_turns(run, turns)
    else:
        run.array.environment.settle()


def scrub(run: Run) -> None:
    """Scrub the whole pool. A disk that does not fail has no damage."""
    scrubber = run.array.pool.scrubber
    scrubber.start(DEFAULT_RATE_BYTES)
    for _ in range(2000):
        progress = scrubber.progress
        if progress is None or not progress.is_running:
            break
        run.array.environment.advance(0.1)
        run.array.disk.check_on()
    run.array.run(scrubber.stop())
    if progress is not None and (progress.damaged_blocks or progress.complaints) and not run.may_fail:
        raise Difference(f"the scrub has found {progress.damaged_blocks} damaged blocks, {progress.complaints}")


def look_at_all(run: Run) -> None:
    """Compare all volumes and snapshots with the model."""
    run.wait_for_all()
    run.array.disk.failing.difference_update({"read", "capacity-read"})
    wrong = run.now.difference(run.array.found())
    if wrong is not None:
        raise Difference(f"the array has other data than the model: {wrong}")


def disk_fails(run: Run, operation: str, number: int, steps: int) -> None:
    """Make an operation of the disk fail during some steps. Without a capacity tier, its operations cannot fail."""
    if operation.startswith("capacity-") and not run.setup.has_capacity:
        return
    run.array.disk.failing.add(operation)
    run.array.disk.error_number = number
    run.failing_steps = steps


def more_room(run: Run) -> None:
    if run.array.disk.room_blocks is not None:
        run.array.disk.room_blocks += 2 * SEGMENT_BLOCKS
        run.array.environment.advance(REFUSED_S)


def crash_in(run: Run, operations: int) -> None:
    run.array.disk.crash_after(operations)


def restart(run: Run, check: int) -> None:
    """Stop in good order, and start again."""
    run.wait_for_all()
    run.array.disk.check_on()
    try:
        run.array.close()
    except (*NO_ROOM, PoolFailed) as error:
        run.array.disk.check_on()
        if isinstance(error, PoolFailed) and not run.may_fail:
            raise Difference(f"the pool has failed although the disk works: {error}") from error
    else:
        if run.array.pool.failure is None:
            run.history.note_flushed(run.history.committed)
    _reopen(run, power=False, again=[], check=bool(check))


def crash(run: Run, power: int, wait: int, again: list[int], check: int) -> None:
    """Lose the power, or kill the process. `again` has the operations after which the next openings crash too."""
    run.counts.crashes += 1
    _reopen(run, power=bool(power), again=again, check=bool(check))


def downtime(run: Run, minutes: int, power: int) -> None:
    """End the process or the power, and start the array again some minutes later."""
    run.counts.crashes += 1
    _reopen(run, power=bool(power), again=[], check=False, minutes=minutes)


def _reopen(run: Run, *, power: bool, again: list[int], check: bool, minutes: int = 0) -> None:
    array, history = run.array, run.history
    run.mark()
    least = history.flushed if power else history.committed
    array.abandon()
    array.environment.now_s += minutes * 60
    for operations in [*again, None]:
        if power:
            array.disk.power_loss()
        else:
            array.disk.process_death()
        if check:
            _check(run)
        array.disk.crash_after(operations)
        try:
            array.open()
            found = array.found()
            array.disk.check_on()
            array.disk.crash_after(None)
            break
        except Crash:
            run.counts.crashes += 1
            array.abandon()
        except (StoreError, DamagedBlock) as error:
            raise Difference(f"the pool does not open: {error!r}") from error
    run.counts.recoveries += 1
    number, wrong = history.find(found, least)
    if number is None:
        raise Difference(f"after a crash, the pool has none of the states {least} to {history.last}: {wrong}")
    found.changes = ()
    run.now = found
    run.under_way.clear()
    run.unsure_until = 0
    history.begin_again(number, found, is_durable=True)
    token_steps.restarted(run, least)
    schedule_steps.restarted(run)


def _check(run: Run) -> None:
    report = check_simulated_pool(run.array.disk)
    if not report.is_sound:
        raise Difference(f"the check of the pool found {report.complaints}, {report.lost[:3]}, {report.damaged_blocks} blocks")


Run.ACTIONS.update(
    few_turns=few_turns,
    settle=settle,
    advance=advance,
    jump_clock=jump_clock,
    clean=clean,
    scrub=scrub,
    look_at_all=look_at_all,
    disk_fails=disk_fails,
    more_room=more_room,
    crash_in=crash_in,
    restart=restart,
    crash=crash,
    downtime=downtime,
)
