"""What a person takes to a real Windows: the page agrees with the code, the script holds together.

Debian has no PowerShell, so of the script only the shape is checked.
"""

import re
from pathlib import Path

from typer.main import get_command

from odx_target.initiator.windows.rules import Rule
from odx_target.target.commands.app import app

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "interop" / "windows"
PAGE = (FOLDER / "README.md").read_text()
SCRIPT = (FOLDER / "Test-OdxTarget.ps1").read_text()
PAIRS = {")": "(", "]": "[", "}": "{"}


def test_the_page_has_every_rule_and_no_other() -> None:
    rows = re.findall(r"^\| (\d\.\d) \| (.*) \| (gives up|goes on) \|$", PAGE, re.MULTILINE)
    assert rows == [(rule.section, rule.reason, "gives up" if rule.declines else "goes on") for rule in Rule]


def test_every_section_that_a_rule_names_is_on_the_page() -> None:
    chapters = set(re.findall(r"^### (\d)\.", PAGE, re.MULTILINE))
    sections = set(re.findall(r"\*\*(\d\.\d)\*\*", PAGE))
    for section in {rule.section for rule in Rule}:
        assert section in sections or section in {f"{chapter}.1" for chapter in chapters}, section


def test_options_on_the_page_are_options_and_all_of_them() -> None:
    command = get_command(app).commands["windows-copy"]  # type: ignore[attr-defined]
    options = {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
    table = PAGE[PAGE.index("| option") : PAGE.index("## With Windows")]
    assert set(re.findall(r"`(--[a-z-]+)`", table)) == options - {"--help", "--initiator-name"}


def test_files_that_the_page_names_are_there() -> None:
    for name in re.findall(r"`(src/[\w./]+)`", PAGE):
        assert (ROOT / name).exists(), name


def test_both_say_that_windows_has_not_seen_them() -> None:
    assert "Neither the script nor this page has been tried on a real Windows yet" in PAGE
    assert "NOT YET RUN ON A REAL WINDOWS" in SCRIPT


def without_strings(text: str) -> str:
    """The script with comments, here-strings and strings taken out; what is in $( ) of a string goes too."""
    text = re.sub(r"<#.*?#>", "", text, flags=re.DOTALL)
    text = re.sub(r"@'\n.*?\n'@", "''", text, flags=re.DOTALL)
    text = re.sub(r"(?m)^\s*#.*$", "", text)
    return re.sub(r"'(?:[^']|'')*'|\"(?:\$\((?:[^()]|\([^()]*\))*\)|`.|[^\"`])*\"", "", text)


def test_the_script_is_balanced() -> None:
    for text in (without_strings(SCRIPT), re.findall(r"@'\n(.*?)\n'@", SCRIPT, re.DOTALL)[0]):
        open_brackets: list[str] = []
        for character in re.sub(r"@?\"[^\"]*\"|//.*", "", text):
            if character in "([{":
                open_brackets.append(character)
            elif character in PAIRS:
                assert open_brackets, text
                assert open_brackets.pop() == PAIRS[character]
        assert open_brackets == []
        assert "'" not in text
    assert SCRIPT.isascii()


def test_functions_of_the_script_are_defined_before_anything_runs() -> None:
    code = without_strings(SCRIPT)
    defined = set(re.findall(r"^function ([A-Z]\w+-\w+)", code, re.MULTILINE))
    calls = re.sub(r"(?m)^function \S+", "", code)
    assert all(re.search(rf"(?<![\w-]){name}(?!\w)", calls) for name in defined)
    assert "function " not in code[code.rindex("\ntry {") :]


def test_parameters_that_the_page_uses_are_parameters() -> None:
    header = SCRIPT[: SCRIPT.index("\n)\n")]
    declared = {name.lower() for name in re.findall(r"\] \$(\w+)", header)}
    line = re.search(r"Test-OdxTarget\.ps1 (-.*)", PAGE)
    assert line is not None
    used = set(re.findall(r"(?<=\s)-(\w+)", " " + line[1])) | set(re.findall(r"`-(\w+)`", PAGE))
    assert {name.lower() for name in used} <= declared
