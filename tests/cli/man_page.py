"""docs/odx-target.1, the man page: `python -m tests.cli.man_page` writes it from the commands, and a test compares it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from odx_target import __version__
from odx_target.cli.app import COMMANDS, application
from odx_target.cli.hosts import credentials
from odx_target.cli.program import TRACEBACK_VARIABLE
from tests.cli.test_strange_input import leaves

PAGE = Path(__file__).parents[2] / "docs" / "odx-target.1"
NAME = "odx-target"

EXIT_STATUS = {
    "0": "The command has succeeded.",
    "1": "The command has failed. With windows-copy, esxi-copy, ready and conformance, also: the target is not fit.",
    "2": "The command line or the configuration has a mistake.",
    "128 plus the number of a signal": "The signal has ended the command.",
}
ENVIRONMENT = {
    credentials.USER_VARIABLE: "CHAP user to log in as, as in libiscsi.",
    credentials.SECRET_VARIABLE: "Secret of this user.",
    credentials.TARGET_USER_VARIABLE: "CHAP user of the target (mutual CHAP).",
    credentials.TARGET_SECRET_VARIABLE: "Secret of this user.",
    "ODX_NATIVE": "If 0, the array runs without its native module.",
    TRACEBACK_VARIABLE: "If set, an internal error shows its traceback.",
    "NO_COLOR": "If set, the log has no colours.",
}


def escaped(text: str) -> str:
    """Return text in which roff sees no commands."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "").replace("'", "\\(aq")
    return re.sub(r"^([.'])", r"\\&\1", text)


def paragraphs(text: str | None) -> list[str]:
    return [escaped(" ".join(each.split())) for each in (text or "").split("\n\n") if each.strip()]


def value_of(parameter: Any) -> str:
    """Return the placeholder of the value of an option, or "" if it has none."""
    if getattr(parameter, "is_flag", False):
        return ""
    return str(parameter.metavar or parameter.name.upper())


def option_lines(parameter: Any) -> Iterator[str]:
    yield ".TP"
    if parameter.param_type_name == "argument":
        yield f".I {escaped(parameter.metavar or parameter.name.upper())}"
    else:
        names = [*parameter.opts, *parameter.secondary_opts]
        value = value_of(parameter)
        words = ", ".join(rf"\fB{escaped(name)}\fR" for name in names)
        yield words + (rf" \fI{escaped(value)}\fR" if value else "")
    yield from paragraphs(parameter.help) or ["See the description."]


def command_lines(name: str, command: Any) -> Iterator[str]:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [each for each in command.params if each.param_type_name == "option" and not getattr(each, "hidden", False)]
    synopsis = " ".join([*(each.metavar or each.name.upper() for each in arguments), *(["[OPTIONS]"] if options else [])])
    place = " POOL" if name.startswith("manage ") else ""
    first, _, rest = name.partition(" ")
    yield f'.SS "{escaped(f"{first}{place} {rest} {synopsis}".replace("  ", " ").strip())}"'
    for number, text in enumerate(paragraphs(command.help)):
        yield from ([".PP"] if number else [])
        yield text
    for parameter in (*arguments, *options):
        yield from option_lines(parameter)


def titled(rows: dict[str, str]) -> Iterator[str]:
    for name, meaning in rows.items():
        yield from (".TP", rf"\fB{escaped(name)}\fR", escaped(meaning))


def page() -> str:
    """Return the man page."""
    lines = [
        r".\" Made by tests/cli/man_page.py from the commands of the program.",
        f'.TH ODX\\-TARGET 1 "" "odx\\-target {__version__}" "User Commands"',
        ".SH NAME",
        r"odx\-target \- an iSCSI array with offloaded copy, for testers",
        ".SH SYNOPSIS",
        r".B odx\-target",
        r".I COMMAND",
        "[ARGUMENTS] [OPTIONS]",
        ".SH DESCRIPTION",
        *paragraphs(
            "odx-target serves LUNs over iSCSI, without root and without a kernel module, and copies data without sending it "
            "through the host: by T10 ROD tokens and by EXTENDED COPY. It also acts as a host, checks targets, and injects "
            "faults. The data of a pool is in a directory, POOL in the commands below."
        ),
        ".PP",
        *paragraphs("odx-target COMMAND --help explains a command. The commands with --json print results for programs."),
        ".SH COMMANDS",
        *titled({name: each.help for name, each in COMMANDS.items()}),
    ]
    lines.append(".SH ARGUMENTS AND OPTIONS")
    for name, command in leaves(get_command(application())):
        lines += command_lines(name, command)
    lines += [".SH EXIT STATUS", *titled(EXIT_STATUS), ".SH ENVIRONMENT", *titled(ENVIRONMENT)]
    lines += [".SH SEE ALSO", r"iscsi\-ls(1), qemu\-img(1), iscsiadm(8), sg_xcopy(8), ddpt(8)"]
    return "\n".join(line.rstrip() for line in lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
