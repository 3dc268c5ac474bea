"""Faults of the pool: calls of its segments fail with an error of the operating system, or take a while."""

import os
import threading

import trio

from odx_target.environment import Environment
from odx_target.store.api import Pool, SegmentCall
from odx_target.target.faults.occurrence import Occurrence, Point
from odx_target.target.faults.rule import Rule
from odx_target.target.faults.rules import FaultRules


class SegmentFaults:
    """Watches the segments of a pool while there are rules for them. Reads then take the way of data that is on the disk."""

    def __init__(self, rules: FaultRules, pool: Pool, environment: Environment) -> None:
        self._rules = rules
        self._pool = pool
        self._environment = environment
        self._loop_thread = threading.get_ident()
        self._is_watching = False
        rules.on_change.append(self._rules_changed)
        self._rules_changed()

    def _rules_changed(self) -> None:
        is_watched = bool(self._rules.active(Point.STORE))
        if is_watched is not self._is_watching:
            self._is_watching = is_watched
            self._pool.watch_segments(self._before if is_watched else None)

    def _before(self, call: SegmentCall, number: int) -> None:
        """Inject the faults of the rules that fire. Raises OSError.

        The event loop itself writes, and never waits. So a write fails at once, or is not delayed.
        """
        seen = Occurrence(Point.STORE, segment_call=str(call), segment=number)
        if threading.get_ident() == self._loop_thread:
            _fail(self._rules.hits(seen))
            return
        hits = trio.from_thread.run_sync(self._rules.hits, seen)
        for rule in hits:
            if "delay" in rule.values:
                trio.from_thread.run(self._environment.sleep, self._rules.pause_s(rule))
        _fail(hits)


def _fail(hits: list[Rule]) -> None:
    for rule in hits:
        if "errno" in rule.values:
            code = rule.values["errno"]
            raise OSError(code, f"{os.strerror(code)} (injected by the rule {rule.name})")
