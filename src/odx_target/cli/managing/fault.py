"""`odx-target fault`: make a running array fail at a chosen place and moment, in a chosen way."""

from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any, NotRequired, TypedDict

import typer

from odx_target.cli.managing.array_requests import ask_array
from odx_target.cli.storage.requests import PoolArgument
from odx_target.cli.text.json_output import Json, print_json
from odx_target.cli.text.tables import print_columns
from odx_target.target.faults.names import COMMANDS, LOGIN_STATUSES, PDUS, SENSE, SENSE_KEYS, STATUSES, sense_codes
from odx_target.target.faults.reading import words_of
from odx_target.target.faults.words.table import WORDS


class FaultWord(TypedDict):
    """A word of rules."""

    word: str
    kind: Annotated[str, "`where`, `when` or `what`"]
    value: Annotated[str, "form of its value"]
    meaning: str


class FaultWords(TypedDict):
    """The words of rules, or the names that values of one kind can have."""

    words: NotRequired[list[FaultWord]]
    values: NotRequired[list[str]]


app = typer.Typer(help="Make a running array fail on purpose.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the rule.")]


def _sense_names() -> list[str]:
    return [*SENSE, *(f"KEY/{name}" for name in sense_codes() if name not in SENSE)]


LISTS: dict[str, Callable[[], Collection[str]]] = {
    "commands": lambda: COMMANDS,
    "pdus": lambda: PDUS,
    "statuses": lambda: STATUSES,
    "sense": _sense_names,
    "sense-keys": lambda: SENSE_KEYS,
    "login-statuses": lambda: LOGIN_STATUSES,
}


def register(root: typer.Typer) -> None:
    """Add the subcommand."""
    root.add_typer(app, name="fault")


@app.callback()
def fault() -> None:
    """Add, list and change the rules by which a running array injects faults.

    A rule has words KEY=VALUE that say where it applies, when it fires, and what fails. `odx-target fault words` lists them.
    """


@app.command("add")
def add(
    pool: PoolArgument,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="KEY=VALUE...", help="The rule, such as: command=write-using-token first=2 sense=token-expired."
        ),
    ],
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Name; default: fault-1, fault-2, ...")] = None,
    as_json: Json = False,
) -> None:
    """Add a rule."""
    given: dict[str, object] = {"rule": words_of(words)}
    _print(ask_array(pool, "fault-add", given if name is None else {**given, "name": name}), as_json)


@app.command("list")
def list_rules(pool: PoolArgument, as_json: Json = False) -> None:
    """List the rules, with the number of faults that each has injected and of occurrences that it has let pass."""
    answer = ask_array(pool, "faults", {})
    if as_json:
        print_json("faults", answer)
    else:
        print_columns(("name", "enabled", "hits", "passed", "rule"), [_cells(rule) for rule in answer["faults"]])


@app.command("remove")
def remove(pool: PoolArgument, name: NameArgument, as_json: Json = False) -> None:
    """Remove a rule. Its pauses end."""
    _print(ask_array(pool, "fault-remove", {"name": name}), as_json)


@app.command("clear")
def clear(pool: PoolArgument, as_json: Json = False) -> None:
    """Remove all rules, and begin all scenarios again."""
    answer = ask_array(pool, "fault-clear", {})
    print_json("faults", answer) if as_json else typer.echo(f"removed {len(answer['faults'])} rules")


@app.command("enable")
def enable(pool: PoolArgument, name: NameArgument, as_json: Json = False) -> None:
    """Enable a rule again."""
    _print(ask_array(pool, "fault-enable", {"name": name}), as_json)


@app.command("disable")
def disable(pool: PoolArgument, name: NameArgument, as_json: Json = False) -> None:
    """Disable a rule. It keeps its counts, and its pauses end."""
    _print(ask_array(pool, "fault-disable", {"name": name}), as_json)


@app.command("release")
def release(pool: PoolArgument, name: NameArgument, as_json: Json = False) -> None:
    """End the present pauses of a rule with the word hold or stall."""
    _print(ask_array(pool, "fault-release", {"name": name}), as_json)


@app.command("words")
def words(
    names: Annotated[
        str | None, typer.Argument(metavar="[LIST]", help=f"List the values of one kind instead: {', '.join(LISTS)}.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the words of rules, or the names that their values can have."""
    if names is not None and names not in LISTS:
        raise typer.BadParameter(f"there is no list {names!r}; there are {', '.join(LISTS)}")
    if as_json:
        print_json("fault-words", _words(names))
    elif names is None:
        print_columns(("word", "kind", "value", "meaning"), [(w.key, w.kind, w.form, w.meaning) for w in WORDS.values()])
    else:
        for each in sorted(LISTS[names]()):
            typer.echo(each)


def _words(names: str | None) -> FaultWords:
    if names is not None:
        return {"values": sorted(LISTS[names]())}
    return {"words": [{"word": w.key, "kind": w.kind, "value": w.form, "meaning": w.meaning} for w in WORDS.values()]}


def _print(rule: Mapping[str, Any], as_json: bool) -> None:
    print_json("fault", rule) if as_json else typer.echo(f"{rule['name']}: {rule['rule']}; {_state(rule)}")


def _state(rule: Mapping[str, Any]) -> str:
    return f"{'enabled' if rule['enabled'] else 'disabled'}, {rule['hits']} hits, {rule['passed']} passed"


def _cells(rule: Mapping[str, Any]) -> tuple[str, ...]:
    return rule["name"], "yes" if rule["enabled"] else "no", str(rule["hits"]), str(rule["passed"]), rule["rule"]
