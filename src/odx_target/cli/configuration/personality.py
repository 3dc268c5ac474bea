"""`odx-target personality`: list and explain the identities, limits and habits that an array can take over."""

from typing import Annotated, TypedDict

import typer

from odx_target.cli.text.json_output import Json, print_json
from odx_target.cli.text.tables import print_columns
from odx_target.target.personality.personality import Personality
from odx_target.target.personality.reading import find_personality, known_personalities

app = typer.Typer(help="Show identities and limits that an array can take over.", no_args_is_help=True)


class ListedPersonality(TypedDict):
    """A personality of the package."""

    name: str
    title: str


class Personalities(TypedDict):
    """The personalities of the package."""

    personalities: list[ListedPersonality]


class PersonalitySetting(TypedDict):
    """A setting of a personality."""

    key: Annotated[str, "such as `token-copy.maximum-ranges`"]
    value: Annotated[str, "the value in the file, as text"]
    meaning: Annotated[str, "with the clause of the standard"]


class ShownPersonality(TypedDict):
    """A personality with its settings."""

    name: str
    title: str
    description: str
    sources: Annotated[list[str], "where the facts come from"]
    settings: list[PersonalitySetting]


def register(root: typer.Typer) -> None:
    """Add the subcommand."""
    root.add_typer(app, name="personality")


@app.callback()
def personality() -> None:
    """Show identities and limits that an array can take over.

    `odx-target serve --personality NAME|FILE` applies a personality.
    """


@app.command("list")
def list_personalities(as_json: Json = False) -> None:
    """List the personalities of the package."""
    found = [find_personality(name) for name in known_personalities()]
    if as_json:
        answer: Personalities = {"personalities": [{"name": each.name, "title": each.title} for each in found]}
        print_json("personalities", answer)
    else:
        print_columns(("name", "title"), [(each.name, each.title) for each in found])


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(metavar="NAME|FILE", help="Name of a personality, or the path of a file.")],
    as_json: Json = False,
) -> None:
    """Show a personality, with the meaning of each of its settings. A file is checked."""
    found = find_personality(name)
    if as_json:
        print_json("personality", _data(found))
        return
    for line in (found.title, found.description, *(f"Source: {source}" for source in found.sources)):
        if line:
            typer.echo(line)
    print_columns(("setting", "value", "meaning"), found.settings)


def _data(found: Personality) -> ShownPersonality:
    return {
        "name": found.name,
        "title": found.title,
        "description": found.description,
        "sources": list(found.sources),
        "settings": [{"key": setting.key, "value": setting.value, "meaning": setting.meaning} for setting in found.settings],
    }
