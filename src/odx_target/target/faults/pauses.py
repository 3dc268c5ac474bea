"""The pauses of rules: `delay` and `jitter` end with the clock, `hold` ends when a tester releases the rule."""

from collections.abc import Awaitable, Callable

from odx_target.environment import Environment
from odx_target.target.faults.rule import Rule
from odx_target.target.faults.rules import FaultRules


def is_pausing(rule: Rule) -> bool:
    """True if a rule makes a pause."""
    return "delay" in rule.values or "hold" in rule.values


class Pauses:
    """Makes the pauses of rules in an environment."""

    def __init__(self, rules: FaultRules, environment: Environment) -> None:
        self._rules = rules
        self._environment = environment

    def until_released(self, rule: Rule) -> Callable[[], Awaitable[None]]:
        """Return the function that waits until a rule is released."""
        return self._rules.released(rule).wait

    def of(self, rule: Rule) -> Callable[[], Awaitable[None]]:
        """Begin a pause, and return the function that waits for its end.

        A release after this call ends the pause, even if nothing waits for it yet.
        """
        pause_s = self._rules.pause_s(rule)
        released = self._rules.released(rule) if "hold" in rule.values else None

        async def wait() -> None:
            await self._environment.sleep(pause_s)
            if released is not None:
                await released.wait()

        return wait
