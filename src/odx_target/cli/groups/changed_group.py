"""The output of commands that change a group."""

import typer

from odx_target.cli.groups.text import advice_lines
from odx_target.cli.managing.array_requests import Answer
from odx_target.cli.text.json_output import print_json


def print_group(answer: Answer, line: str, *, as_json: bool, result: str = "group") -> None:
    """Print a group as the JSON of `result`, or a line about its change, and what needs attention."""
    if as_json:
        print_json(result, answer)
        return
    typer.echo(line)
    for advice in advice_lines([answer]):
        typer.echo(advice)
