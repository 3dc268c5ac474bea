"""Tests of the rights of peers: a peer without the right of a request gets nothing, whatever it asks for."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from odx_target.replica.link.bounded_json import Json
from odx_target.replica.link.channels import TrafficClass
from odx_target.replica.paths.exchange import Exchange, RequestDenied
from odx_target.replica.paths.path import Path
from odx_target.replica.paths.settings import Right
from odx_target.replica.request_table import RequestTable
from tests.replica.paths.test_paths import Arrays
from tests.sim.simulated_array import SimulatedArray


async def serve(array: SimulatedArray, path: Path, exchange: Exchange, document: Mapping[str, Json]) -> None:
    await RequestTable(array.pool, array.environment).serve(path, exchange, document)


def code_of(arrays: Arrays, document: Mapping[str, Json]) -> str:
    """Return the code with which the other array refuses a request."""

    async def request() -> None:
        link = await arrays.ours.opened()
        await link.request(document, TrafficClass.SNAPSHOT)

    with pytest.raises(RequestDenied) as caught:
        arrays.world.run(arrays.one.environment, request(), 60.0)
    return caught.value.code


def test_each_request_needs_its_right_and_the_answer_says_nothing_else() -> None:
    arrays = Arrays(1).connect()
    arrays.other.serve = serve
    rows = RequestTable(arrays.other.pool, arrays.other.environment)._rows
    snapshot = arrays.other.pool.create_volume("v", 8, {}).snapshot("s")
    arrays.world.run(arrays.other.environment, arrays.other.pool.committed())
    documents: list[dict[str, Json]] = [{}, {"snapshot": snapshot.guid.hex(), "first": 0, "count": 1}, {"snapshot": "00" * 16}]
    for name, row in rows.items():
        arrays.other.paths.change(replace(arrays.theirs.settings, rights=frozenset(Right) - {row.right}))
        assert {code_of(arrays, {"request": name, **document}) for document in documents} == {"right"}
    arrays.other.paths.change(replace(arrays.theirs.settings, rights=frozenset(Right)))
    absent = {"snapshot": "00" * 16, "first": 0, "count": 1}
    assert code_of(arrays, {"request": "blocks", **absent}) == "absent"
    assert code_of(arrays, {"request": "digest", **absent}) == "absent"


@pytest.mark.parametrize("name", ["nothing", "", 5, None, ["blocks"]])
def test_an_unknown_request(name: Json) -> None:
    arrays = Arrays(2).connect()
    arrays.other.serve = serve
    assert code_of(arrays, {"request": name}) == "unknown"
