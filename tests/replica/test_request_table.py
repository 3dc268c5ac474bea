"""Tests of the table of requests: a peer without the right of a request gets nothing, and no peer gets more than its limit."""

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import pytest

from odx_target.copymgr.shared_state import Copies
from odx_target.replica.blocks.limits import MAX_SERVED_REQUESTS
from odx_target.replica.link.bounded_json import Json
from odx_target.replica.link.channels import TrafficClass
from odx_target.replica.paths.exchange import Exchange, RequestDenied
from odx_target.replica.paths.path import Path
from odx_target.replica.paths.settings import Right
from odx_target.replica.remote_tokens.token_server import TokenServer
from odx_target.replica.request_table import RequestTable, Row
from tests.replica.paths.arrays import Arrays
from tests.sim.simulated_array import SimulatedArray


def table_of(array: SimulatedArray) -> RequestTable:
    """Return the table of an array. Its tokens have no copy manager, because no test gets further than to their rights."""
    tokens = TokenServer(cast(Copies, None), array.environment)
    return RequestTable(array.pool, array.environment, tokens)


async def serve(array: SimulatedArray, path: Path, exchange: Exchange, document: Mapping[str, Json]) -> None:
    await table_of(array).serve(path, exchange, document)


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
    rows = table_of(arrays.other)._rows
    assert len(rows) == 6
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


def test_a_peer_cannot_start_more_requests_than_the_limit() -> None:
    """It closes each channel at once, but the array still works on the requests."""
    arrays = Arrays(3).connect()
    environment = arrays.other.environment
    release, begun, table = environment.event(), [], RequestTable(arrays.other.pool, environment)

    async def serve_late(*_arguments: object) -> None:
        begun.append(None)
        await release.wait()

    table._rows["late"] = Row(Right.REPLICATE, serve_late)

    async def request() -> None:
        await table.serve(arrays.theirs, cast(Exchange, None), {"request": "late"})

    tasks = [environment.spawn(request()) for _ in range(MAX_SERVED_REQUESTS + 2)]
    arrays.world.advance(0.1)
    assert len(begun) == MAX_SERVED_REQUESTS
    refused = [task.error for task in tasks if task.done]
    assert [error.code for error in refused if isinstance(error, RequestDenied)] == ["busy", "busy"]
    release.set()
    arrays.world.advance(0.1)
    assert all(task.done for task in tasks)
    late = environment.spawn(request())
    arrays.world.advance(0.1)
    assert late.done
    assert late.error is None
