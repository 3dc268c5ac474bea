"""The management operations that explain refused copies, and show the sums of each initiator."""

from typing import TYPE_CHECKING

from odx_target.copymgr.advice import sentence
from odx_target.target.config.error import ConfigError
from odx_target.target.control.answers import Initiators, Refusals
from odx_target.target.control.arguments import Argument
from odx_target.target.control.operation import Operation

if TYPE_CHECKING:
    from odx_target.target.array import Array


async def refusals(array: "Array", after: int) -> Refusals:
    """Return the latest refused or incomplete copies, the oldest first, each with an explanation in one line.

    `last` is the number of the latest refusal. A later call with this value of `after` returns only newer refusals.
    """
    log = array.copy_manager.copies.refusals
    found = [entry for entry in log.latest if entry["number"] > after]
    return {"refusals": [{**entry, "explanation": sentence(entry)} for entry in found], "last": log.noted}


async def initiators(array: "Array") -> Initiators:
    """Return the bytes that the array has copied for each initiator, and the bytes of its refused copies."""
    rows = array.copy_manager.copies.totals.as_data()
    return {"initiators": [{"initiator": name, **totals} for name, totals in sorted(rows.items())]}


def _number(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ConfigError(f"after: want the number of a refusal, not {value!r}")
    return value


REFUSAL_OPERATIONS = (
    Operation("refusals", refusals, (Argument("after", "number of the last refusal that is known", _number, 0),)),
    Operation("initiators", initiators),
)
