"""The operations on the rules by which a running array injects faults."""

from typing import TYPE_CHECKING

from odx_target.target.config.error import ConfigError
from odx_target.target.control import arguments
from odx_target.target.control.answers import Faults
from odx_target.target.control.arguments import Argument, ManagementError
from odx_target.target.control.operation import Operation
from odx_target.target.faults.rules import RuleData, rule_data

if TYPE_CHECKING:
    from odx_target.target.array import Array


def _rule(value: object) -> str | dict[str, object]:
    """Check that a rule is a text or an object. The rules check its words. Raises ConfigError."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return value
    raise ConfigError(f'rule: want a text such as "command=read first=1 status=busy" or an object, not {value!r}')


async def _add(array: "Array", rule: str | dict[str, object], name: str | None) -> RuleData:
    """Add a rule."""
    try:
        return rule_data(array.faults.add(rule, name=name), array.faults)
    except ConfigError as error:
        raise ManagementError(str(error), is_usage=True) from error


async def _list(array: "Array") -> Faults:
    """List the rules."""
    return {"faults": [rule_data(rule, array.faults) for rule in array.faults]}


async def _remove(array: "Array", name: str) -> RuleData:
    """Remove a rule."""
    return rule_data(array.faults.remove(name), array.faults)


async def _clear(array: "Array") -> Faults:
    """Remove all rules."""
    removed = [rule_data(rule, array.faults) for rule in array.faults]
    array.faults.clear()
    return {"faults": removed}


async def _enable(array: "Array", name: str) -> RuleData:
    """Enable a rule again."""
    return rule_data(array.faults.set_enabled(name, True), array.faults)


async def _disable(array: "Array", name: str) -> RuleData:
    """Disable a rule."""
    return rule_data(array.faults.set_enabled(name, False), array.faults)


async def _release(array: "Array", name: str) -> RuleData:
    """End the present pauses of a rule."""
    rule = array.faults[name]
    array.faults.release(rule)
    return rule_data(rule, array.faults)


_NAME = (Argument("name", "the name of the rule", arguments.text),)

FAULT_OPERATIONS = (
    Operation(
        "fault-add",
        _add,
        (
            Argument("rule", "the words of the rule, as a text or as an object", _rule),
            Argument("name", "the name of the rule", arguments.text, None),
        ),
        is_recorded=True,
    ),
    Operation("faults", _list),
    Operation("fault-remove", _remove, _NAME, is_recorded=True),
    Operation("fault-clear", _clear, is_recorded=True),
    Operation("fault-enable", _enable, _NAME, is_recorded=True),
    Operation("fault-disable", _disable, _NAME, is_recorded=True),
    Operation("fault-release", _release, _NAME, is_recorded=True),
)
