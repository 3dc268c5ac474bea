"""Waiting in a group for its member, its streams and its pool."""

from collections.abc import Callable

from odx_target.environment import Environment, Event
from odx_target.replica.sync.group_records import GroupSettings
from odx_target.replica.sync.group_states import NotServing
from odx_target.replica.sync.limits import GIVE_UP_MARGIN_S
from odx_target.replica.sync.member_driver import MemberDriver
from odx_target.store.api import Pool


class Progress:
    """Wakes whatever waits in a group, each time that its state or its streams may have changed."""

    def __init__(self, pool: Pool, environment: Environment, settings: GroupSettings, driver: MemberDriver) -> None:
        self.on_change: list[Callable[[], None]] = []
        """Functions that are called when the state of the group or its `due_osn` may have changed."""
        self.on_advance: list[Callable[[], None]] = []
        """Functions that are called when only its `due_osn` may have changed."""
        self._pool = pool
        self._environment = environment
        self._driver = driver
        self._name = settings.name
        self._give_up_after_s = settings.out_of_sync_s + GIVE_UP_MARGIN_S
        self._changed: Event | None = None
        """The event that those wait for who wait now. None if nobody waits."""

    def wake(self) -> None:
        """Wake all that wait, because something may have changed."""
        self._wake_waiting()
        for function in list(self.on_change):
            function()

    def advance(self) -> None:
        """Wake all that wait, because the other member may have more than before. The state of the group is the same."""
        self._wake_waiting()
        for function in list(self.on_advance):
            function()

    def _wake_waiting(self) -> None:
        changed, self._changed = self._changed, None
        if changed is not None:
            changed.set()

    async def _wait(self) -> None:
        if self._changed is None:
            self._changed = self._environment.event()
        await self._changed.wait()

    @property
    def give_up_s(self) -> float:
        """The time of the monotonic clock at which a wait that begins now has lasted for too long."""
        return self._environment.monotonic() + self._give_up_after_s

    async def next_change(self, give_up_s: float) -> None:
        """Wait until something may have changed. Raises NotServing if it has no use to wait."""
        if not self._driver.member.is_primary or self._is_vain(give_up_s):
            raise NotServing(
                f"the group {self._name} has another primary, has failed, was deleted, or waits for its other member "
                "for too long"
            )
        await self._wait()

    async def until(self, is_reached: Callable[[], bool], reason: str) -> None:
        """Wait for a condition, but not for too long. Raises NotServing with the reason."""
        give_up_s = self.give_up_s
        while not is_reached():
            if self._is_vain(give_up_s):
                raise NotServing(f"the group {self._name}: {reason}")
            await self._wait()

    def _is_vain(self, give_up_s: float) -> bool:
        has_failed = self._driver.failure or self._pool.failure is not None
        return bool(has_failed) or self._driver.has_ended or self._environment.monotonic() >= give_up_s
