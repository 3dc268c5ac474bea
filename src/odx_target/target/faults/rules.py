"""The rules of one array: they are added, removed, enabled and disabled by name, and asked at each point."""

import random
from collections.abc import Callable, Container, Iterator, Mapping
from typing import Annotated, Any, TypedDict

from odx_target.environment import Event
from odx_target.target.config.error import ConfigError
from odx_target.target.faults import values
from odx_target.target.faults.evil import expanded
from odx_target.target.faults.names import nearest
from odx_target.target.faults.occurrence import Occurrence, Point
from odx_target.target.faults.reading import check_numbers, read_rule, with_one_spelling, words_of
from odx_target.target.faults.rule import FIRST_STATE, Rule

MAX_RULES = 1024
"""Maximum number of rules. Each occurrence is compared with the rules of its point, so more would make an array slow."""


class RuleData(TypedDict):
    """A rule by which the array injects faults."""

    name: str
    point: Annotated[str, "the place in the array at which the rule acts"]
    rule: Annotated[str, "the rule as text"]
    words: Annotated[dict[str, object], "the words of the rule with their values"]
    enabled: bool
    hits: Annotated[int, "number of faults that were injected"]
    passed: Annotated[int, "number of occurrences that the rule has let pass"]
    state: Annotated[str | None, "state of the scenario, or null if the rule has none"]


class FaultRules:
    """The rules of an array, in the order in which they were added. All rules that fire at an occurrence inject their faults.

    `clock` returns monotonic seconds; the array sets it when it starts. `seed` makes probabilities and pauses repeatable.
    `new_event` makes an event. `on_change` is called after each change of the set of enabled rules. `on_hit(rule, seen)` is
    called for each hit.
    """

    def __init__(self, new_event: Callable[[], Event], seed: int = 0, clock: Callable[[], float] = lambda: 0.0) -> None:
        self.clock = clock
        self._new_event = new_event
        self._seed = seed
        self._rules: dict[str, Rule] = {}
        self._active: dict[Point, list[Rule]] = {point: [] for point in Point}
        self._released: dict[Rule, Event] = {}
        self.states: dict[str, str] = {}
        """State of each scenario that has left its first state."""
        self.on_change: list[Callable[[], None]] = []
        self.on_hit: list[Callable[[Rule, Occurrence], None]] = []

    def add(self, rule: str | Mapping[str, object] = "", /, *, name: str | None = None, **words: object) -> Rule:
        """Add a rule, given as a text, as a mapping, or as keywords. In keywords, `_` stands for `-`.

        `name` is the name of the rule; by default, it is made of the first free number. Raises ConfigError for a word or value
        that is not known, and if the name is in use.

            rules.add("command=write-using-token first=2 sense=token-expired")
            rules.add(command="WRITE USING TOKEN", first=2, sense="TOKEN EXPIRED")
        """
        given: dict[str, object] = words_of(rule) if isinstance(rule, str) else dict(rule)
        given |= words if name is None else {**words, "name": name}
        chosen, enabled, words = _apart(given)
        point, plain_words, converted = read_rule(words)
        key = self._free_name() if chosen is None else chosen
        if key in self._rules:
            raise ConfigError(f"fault: there is a rule {key} already")
        if len(self._rules) >= MAX_RULES:
            raise ConfigError(f"fault: there are at most {MAX_RULES} rules")
        chance = random.Random(f"{self._seed}:{key}")  # noqa: S311 - a tester must be able to repeat it
        added = Rule(key, point, plain_words, converted, self.clock(), chance, enabled)
        self._rules[key] = added
        self._changed()
        return added

    def __iter__(self) -> Iterator[Rule]:
        return iter(list(self._rules.values()))

    def __getitem__(self, name: str) -> Rule:
        """Return a rule by its name. Raises ConfigError if there is none."""
        found = self._rules.get(name)
        if found is None:
            raise ConfigError(
                f"there is no rule {name[:60]!r}; {nearest(name, self._rules) if self._rules else 'there is none'}"
            )
        return found

    def remove(self, name: str) -> Rule:
        """Remove a rule, and end its pauses. Raises ConfigError."""
        rule = self[name]
        del self._rules[name]
        self._changed()
        self.release(rule)
        return rule

    def detach(self) -> None:
        """Forget the array, which is stopping. The rules and their counts stay, for the next start of the array."""
        self._active = {point: [] for point in Point}
        for notify in self.on_change:
            notify()
        self.on_change.clear()
        self.on_hit.clear()
        for rule in self:
            self.release(rule)
        self._changed()

    def clear(self) -> None:
        """Remove all rules, and set all scenarios to their first state."""
        removed = list(self)
        self._rules.clear()
        self._changed()
        for rule in removed:
            self.release(rule)
        self.states.clear()

    def set_enabled(self, name: str, enabled: bool) -> Rule:
        """Enable or disable a rule. A disabled rule keeps its counts, and its pauses end. Raises ConfigError."""
        rule = self[name]
        rule.enabled = enabled
        self._changed()
        if not enabled:
            self.release(rule)
        return rule

    def release(self, rule: Rule) -> None:
        """End the pauses of a rule with the word `hold` or `stall` that are under way. Later occurrences pause again."""
        event = self._released.pop(rule, None)
        if event is not None:
            event.set()

    def released(self, rule: Rule) -> Event:
        """Return the event that ends the present pauses of a rule."""
        event = self._released.get(rule)
        if event is None:
            event = self._released[rule] = self._new_event()
        return event

    def active(self, point: Point) -> list[Rule]:
        """Return the enabled rules of a point."""
        return self._active[point]

    def hits(self, seen: Occurrence, without: Container[Rule] = ()) -> list[Rule]:
        """Return the rules that inject their faults at an occurrence, and count it. Rules in `without` are not asked."""
        found = []
        for rule in self._active[seen.point]:
            if rule not in without and rule.is_here(seen) and rule.fires(self.clock(), self.states):
                found.append(rule)
        for rule in found:
            for notify in self.on_hit:
                notify(rule, seen)
        return found

    def pause_s(self, rule: Rule) -> float:
        """Return the length of a pause by `delay` and `jitter`."""
        jitter_s = rule.values.get("jitter", 0.0)
        return float(rule.values.get("delay", 0.0)) + (rule.chance.random() * jitter_s if jitter_s else 0.0)

    def _free_name(self) -> str:
        return next(f"fault-{number}" for number in range(1, MAX_RULES + 2) if f"fault-{number}" not in self._rules)

    def _changed(self) -> None:
        for point in Point:
            self._active[point] = [rule for rule in self._rules.values() if rule.enabled and rule.point is point]
        for notify in self.on_change:
            notify()


def rule_data(rule: Rule, rules: FaultRules) -> RuleData:
    """Return a rule, its counts and the state of its scenario as plain data."""
    return {
        "name": rule.name,
        "point": str(rule.point),
        "rule": rule.text,
        "words": {key: _plain(value) for key, value in rule.given.items()},
        "enabled": rule.enabled,
        "hits": rule.hits,
        "passed": rule.passed,
        "state": rules.states.get(rule.scenario, FIRST_STATE)
        if {"scenario", "state", "next-state"} & set(rule.values)
        else None,
    }


def check_rule(given: Mapping[str, object]) -> str | None:
    """Check a rule, and return its name, or None if it has none. Raises ConfigError."""
    chosen, _, words = _apart(given)
    read_rule(words)
    return chosen


def _apart(given: Mapping[str, object]) -> tuple[str | None, bool, dict[str, object]]:
    """Return the name of a rule, whether it is enabled, and its words. Raises ConfigError."""
    check_numbers(given)
    words = expanded(with_one_spelling(given))
    enabled, chosen = words.pop("enabled", True), words.pop("name", None)
    if enabled not in (True, False, "true", "false"):
        raise ConfigError(f"fault: enabled: want true or false, not {enabled!r}")
    return None if chosen is None else _checked_name(chosen), enabled in (True, "true"), words


def _plain(value: object) -> Any:
    return value if isinstance(value, str | int | float | bool | list | dict) else str(value)


def _checked_name(value: object) -> str:
    try:
        return values.name(value)
    except ConfigError as error:
        raise ConfigError(f"fault: name: {error}") from error
