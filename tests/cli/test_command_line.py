"""The reader of usual command lines of `serve` returns the same values as typer, or leaves the line to typer."""

from collections.abc import Mapping

import pytest
import typer
from hypothesis import example, given
from hypothesis import strategies as st
from typer.main import get_command

from odx_target.cli.serving.command_line import usual_values
from odx_target.cli.serving.options import OPTIONS, Kind
from odx_target.cli.serving.typer_parameters import with_options

TAKEN: list[Mapping[str, object]] = []


def take(**given: object) -> None:
    TAKEN.append(given)


APP = typer.Typer()
APP.command("serve")(with_options(take))
COMMAND = get_command(APP)

OTHER_NAMES = ("--help", "-h", "--", "-", "--lu", "--no-json", "--pool-dir", "--unknown")
NAMES = [*(f"--{option.name}" for option in OPTIONS), *(f"--no-{option.name}" for option in OPTIONS), *OTHER_NAMES]
TEXTS = ["", "a", "disk=1G", "pool=x", "=", "-1", "-a", "--json", "20", "é", "a b", "~", "$HOME", "\udc80"]
words = st.one_of(
    st.sampled_from(NAMES),
    st.sampled_from(TEXTS),
    st.builds("{}={}".format, st.sampled_from(NAMES), st.sampled_from(TEXTS)),
)
usual_words = st.one_of(
    st.builds(
        lambda option, text: [f"--{option.name}", text],
        st.sampled_from([option for option in OPTIONS if option.kind in (Kind.TEXT, Kind.TEXTS, Kind.PATH)]),
        st.sampled_from([text for text in TEXTS if text and not text.startswith("-")]),
    ),
    st.builds(
        lambda option: [f"--{option.name}"],
        st.sampled_from([option for option in OPTIONS if option.kind in (Kind.SWITCH, Kind.FLAG)]),
    ),
)
REPEATABLE = {f"--{option.name}" for option in OPTIONS if option.kind is Kind.TEXTS}


def of_typer(line: list[str]) -> Mapping[str, object] | None:
    """Return the values that typer reads, or None if it reads none."""
    TAKEN.clear()
    try:
        COMMAND.main(list(line), standalone_mode=False)
    except typer.TyperException:
        return None
    return TAKEN[0] if TAKEN else None


@given(st.lists(words, max_size=6))
def test_any_words(line: list[str]) -> None:
    values = usual_values(line)
    if values is not None:
        assert values == of_typer(line)


@given(st.lists(usual_words, max_size=6).map(lambda lists: [word for each in lists for word in each]))
@example(["--pair", "a", "--pair", "b"])
@example(["--log-level", "a", "--log-level", "b"])
def test_usual_words(line: list[str]) -> None:
    values = usual_values(line)
    once = [word for word in line if word.startswith("--") and word not in REPEATABLE]
    assert (values is None) == (len(once) != len(set(once)))
    if values is not None:
        assert values == of_typer(line)


@pytest.mark.parametrize(
    "line",
    [
        ["--help"],
        ["pool", "other"],
        ["--lun"],
        ["--lun", ""],
        ["--lun="],
        ["--iqn", "a", "--iqn", "b"],
        ["--cleaning-share", "20"],
        ["--json=yes"],
        ["--no-json"],
        ["--pool-dir", "pool"],
        ["--", "pool"],
    ],
)
def test_what_is_left_to_typer(line: list[str]) -> None:
    assert usual_values(line) is None


def test_what_is_not() -> None:
    values = usual_values(["var/pool", "--lun", "a=1G", "--lun=b=1G", "--no-polling", "--json"])
    given_values = {name: value for name, value in (values or {}).items() if value}
    assert {name: str(value) for name, value in given_values.items()} == {
        "pool_dir": "var/pool",
        "lun": "['a=1G', 'b=1G']",
        "json": "True",
    }
    assert values is not None
    assert values["polling"] is False
