"""Requests for snapshots: attributes that operators may choose, values of every type of JSON, and rows for many snapshots."""

import pytest

from odx_target.target.control.arguments import ManagementError
from odx_target.target.control.operations import perform
from odx_target.target.control.storage import answers, describe
from odx_target.target.control.storage.table import STORAGE_OPERATIONS
from odx_target.turns import Turns
from tests.target.running import LUNS, running
from tests.target.test_storage_operations import do, refused, row

ATTRIBUTES_OF_THE_ARRAY = (
    "size_bytes",
    "block_bytes",
    "compression",
    "lun",
    "read_only",
    "schedule",
    "schedule_moment",
    "consistency",
    "identifying_information",
    "identifying_text",
)


@pytest.mark.parametrize("name", ATTRIBUTES_OF_THE_ARRAY)
async def test_an_operator_cannot_choose_an_attribute_that_the_array_sets(name: str) -> None:
    async with running() as array:
        for commands in ({}, {"before": "true"}):
            said = await refused(
                array, "snapshot-create", snapshots=["first@s"], attributes={"by": "me", name: "abc"}, **commands
            )
            assert said == f"attributes: only the array sets {name!r}"
        assert (await do(array, "snapshots")) == {"snapshots": []}


async def test_an_operator_chooses_other_attributes() -> None:
    async with running() as array:
        attributes = {"SIZE_BYTES": "abc", "schedules": "none", "": "", "a" * 1024: "b" * 1024}
        made = row(await do(array, "snapshot-create", snapshots=["first@s"], attributes=attributes), "snapshots")
        assert made["attributes"] == {**attributes, "size_bytes": str(LUNS[0].size_bytes), "block_bytes": "512"}
        for wrong in ({"a": "b" * 1025}, {"a" * 1025: ""}, {"a": "\n"}, {"a\n": ""}, {"a": 1}, {"a": None}, [], "a", None, 1):
            assert "attributes: want" in await refused(array, "snapshot-create", snapshots=["first@t"], attributes=wrong)


@pytest.mark.parametrize("value", [[], {}, ["off"], {"off": 1}, None, 1, 1.5, True, "OFF", ""])
async def test_a_compression_of_any_type_is_refused_in_one_line(value: object) -> None:
    async with running() as array:
        assert "compression: want one of off, lz4, zstd" in await refused(array, "volume-set", name="first", compression=value)


@pytest.mark.parametrize("value", [[], {}, [[]], [{}], {"a": []}, {"every": []}, None, 1.5, True, -1, "", "\0", 1 << 70])
async def test_an_argument_of_any_type_is_accepted_or_refused_in_one_line(value: object) -> None:
    refusals: list[str] = []
    async with running() as array:
        for operation in STORAGE_OPERATIONS.values():
            for argument in operation.arguments:
                others = {each.name: "first" for each in operation.arguments if each.is_required}
                try:
                    await perform(array, operation.name, {**others, argument.name: value})
                except ManagementError as error:
                    refusals.append(str(error))
    assert refusals
    assert not [refusal for refusal in refusals if "\n" in refusal]


@pytest.mark.parametrize("commands", [{}, {"before": "true"}])
async def test_the_rows_of_many_new_snapshots_are_made_in_turns(
    monkeypatch: pytest.MonkeyPatch, commands: dict[str, object]
) -> None:
    """The names of the volumes are collected once for all rows."""
    count, described, collected = 64, 0, 0
    describe_snapshot, volume_names = describe.describe_snapshot, describe.volume_names

    def counted_row(*arguments: object) -> answers.Snapshot:
        nonlocal described
        described += 1
        return describe_snapshot(*arguments)  # type: ignore[arg-type]

    def counted_names(*arguments: object) -> dict[bytes, str]:
        nonlocal collected
        collected += 1
        return volume_names(*arguments)  # type: ignore[arg-type]

    async with running() as array:
        await do(array, "clone", origin="first", name="c-{}", count=count)
        names = [f"c-{number:02}@s" for number in range(1, count + 1)]
        monkeypatch.setattr(describe, "describe_snapshot", counted_row)
        monkeypatch.setattr(describe, "volume_names", counted_names)
        turns_between: list[int] = []
        next_if_spent = Turns.next_if_spent

        async def noted(turns: Turns) -> None:
            turns_between.append(described)
            await next_if_spent(turns)

        monkeypatch.setattr(Turns, "next_if_spent", noted)
        made = await do(array, "snapshot-create", snapshots=names, **commands)
        assert [f"{each['volume']}@{each['name']}" for each in made["snapshots"]] == names  # type: ignore[attr-defined]
        assert (described, collected) == (count, 1)
        assert set(range(count)) <= set(turns_between), "other tasks can run before each row"
