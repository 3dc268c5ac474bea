"""Tests that the page for a real Windows agrees with the code, and that the script uses PowerShell's syntax and names."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import tree_sitter_c_sharp
import tree_sitter_powershell
from tree_sitter import Language, Node, Parser
from typer.main import get_command

from odx_target.cli.app import application
from odx_target.initiator.windows.rules import Rule, Weight

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "interop" / "windows"
PAGE = (FOLDER / "README.md").read_text()
SCRIPT = (FOLDER / "Test-OdxTarget.ps1").read_text()
VERBS = {Weight.DECLINES: "gives up", Weight.DROPS: "drops the connection", Weight.NOTES: "goes on"}


def test_the_page_has_every_rule_and_no_other() -> None:
    rows = re.findall(rf"^\| (\d\.\d) \| (.*) \| ({'|'.join(VERBS.values())}) \| (.*) \|$", PAGE, re.MULTILINE)
    events = {rule: " or ".join(map(str, rule.events)) or "-" for rule in Rule}
    assert rows == [(rule.section, rule.reason, VERBS[rule.value.weight], events[rule]) for rule in Rule]


def test_every_section_that_a_rule_names_is_on_the_page() -> None:
    chapters = set(re.findall(r"^### (\d)\.", PAGE, re.MULTILINE))
    sections = set(re.findall(r"\*\*(\d\.\d)\*\*", PAGE))
    for section in {rule.section for rule in Rule}:
        assert section in sections or section in {f"{chapter}.1" for chapter in chapters}, section


def test_options_on_the_page_are_options_and_all_of_them() -> None:
    command = get_command(application()).commands["windows-copy"]  # type: ignore[attr-defined]
    options = {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
    table = PAGE[PAGE.index("| option") : PAGE.index("## With Windows")]
    assert set(re.findall(r"`(--[a-z-]+)`", table)) == options - {"--help", "--initiator-name"}


def test_files_that_the_page_names_are_there() -> None:
    for name in re.findall(r"`(src/[\w./]+)`", PAGE):
        assert (ROOT / name).exists(), name


def test_both_say_that_windows_has_not_seen_them() -> None:
    assert "Neither the script nor this page has been tried on a real Windows yet" in PAGE
    assert "NOT YET RUN ON A REAL WINDOWS" in SCRIPT


# The tests below parse the script with grammars of PowerShell and C#, which check only the syntax.


def nodes(root: Node, *, within: str = "") -> Iterator[Node]:
    """Yield a node and all nodes below it, but not the children of nodes of type `within`."""
    yield root
    for child in root.children:
        if child.type != within:
            yield from nodes(child, within=within)


def powershell(text: str) -> Node:
    """Parse a script. Suffixes of numbers are converted to small letters first, because the grammar accepts only these."""
    text = re.sub(r"\b(\d+)([KMG]B)\b", lambda found: found[1] + found[2].lower(), text)
    return Parser(Language(tree_sitter_powershell.language())).parse(text.encode()).root_node


def c_sharp(text: str) -> Node:
    return Parser(Language(tree_sitter_c_sharp.language())).parse(text.encode()).root_node


def faults(root: Node) -> list[str]:
    return [f"line {node.start_point.row + 1}: {node.text!r}" for node in nodes(root) if node.is_error or node.is_missing]


CLASS = re.findall(r"@'\n(.*?)\n'@", SCRIPT, re.DOTALL)[0]


def test_the_script_has_the_syntax_of_powershell() -> None:
    assert faults(powershell(SCRIPT)) == []
    assert SCRIPT.isascii()


def test_its_class_has_the_syntax_of_c_sharp() -> None:
    assert faults(c_sharp(CLASS)) == []


BROKEN = [("$proof = @{}", "$proof = @{"), ("if ($mutual)", "if $mutual"), ("} catch {", "catch {")]


@pytest.mark.parametrize(("part", "broken"), BROKEN)
def test_the_grammar_sees_what_is_broken(part: str, broken: str) -> None:
    assert part in SCRIPT
    assert faults(powershell(SCRIPT.replace(part, broken, 1)))


def test_the_other_grammar_too() -> None:
    assert faults(c_sharp(CLASS.replace("return output;", "return output", 1)))


def text_of(node: Node) -> str:
    assert node.text is not None
    return node.text.decode()


def commands() -> list[tuple[str, set[str]]]:
    """List each command of the script with the names of its parameters."""
    found = []
    for node in nodes(powershell(SCRIPT)):
        if node.type == "command":
            name = next((text_of(child) for child in node.children if child.type == "command_name"), "")
            given = {
                text_of(one).lstrip("-").partition(":")[0]
                for one in nodes(node, within="command")
                if one.type == "command_parameter"
            }
            found.append((name, given))
    return [(name, given) for name, given in found if name]


CMDLETS: dict[str, str] = {
    # Microsoft's documentation: name, and the parameters that are used here
    "Add-Type": "TypeDefinition",
    "Connect-IscsiTarget": "NodeAddress TargetPortalAddress TargetPortalPortNumber",
    "ConvertTo-Json": "",
    "Copy-Item": "",
    "Export-Csv": "Path NoTypeInformation Encoding",
    "ForEach-Object": "",
    "Format-List": "",
    "Format-Volume": "DriveLetter FileSystem NewFileSystemLabel Confirm",
    "Get-Content": "Path TotalCount",
    "Get-Date": "Format",
    "Get-Disk": "",
    "Get-FileHash": "",
    "Get-IscsiConnection": "",
    "Get-IscsiSession": "",
    "Get-IscsiTarget": "",
    "Get-IscsiTargetPortal": "",
    "Get-ItemProperty": "Name ErrorAction",
    "Get-Partition": "DriveLetter",
    "Get-Volume": "DriveLetter",
    "Get-WinEvent": "FilterHashtable ErrorAction",
    "Initialize-Disk": "Number PartitionStyle",
    "Join-Path": "",
    "Measure-Command": "",
    "New-IscsiTargetPortal": "TargetPortalAddress TargetPortalPortNumber",
    "New-Item": "ItemType Path",
    "New-Partition": "DiskNumber UseMaximumSize DriveLetter",
    "Out-Null": "",
    "Out-String": "Width",
    "Remove-IscsiTargetPortal": "Confirm",
    "Select-Object": "Property",
    "Set-Content": "Path Encoding",
    "Set-Disk": "Number IsOffline IsReadOnly",
    "Set-IscsiChapSecret": "ChapSecret",
    "Set-Service": "Name StartupType",
    "Sort-Object": "Property Unique",
    "Start-Service": "Name",
    "Start-Sleep": "Seconds",
    "Start-Transcript": "Path",
    "Stop-Transcript": "",
    "Update-HostStorageCache": "",
    "Where-Object": "EQ NE In",
    "Write-Host": "",
    "Write-VolumeCache": "DriveLetter",
    "fltmc": "v",
    "fsutil": "",
    "robocopy": "",
    "wevtutil": "",
}


def functions() -> set[str]:
    return set(re.findall(r"^function ([A-Z]\w+-\w+)", SCRIPT, re.MULTILINE))


def test_commands_are_functions_of_the_script_or_cmdlets_with_parameters_that_they_have() -> None:
    used = {(name, one) for name, given in commands() for one in given if name in CMDLETS}
    assert {name for name, _ in commands()} <= functions() | set(CMDLETS)
    assert {(name, one) for name, one in used if one.lower() not in CMDLETS[name].lower().split()} == set()


def test_every_function_is_used_and_every_cmdlet_of_the_table() -> None:
    called = {name for name, _ in commands()}
    assert functions() <= called
    assert set(CMDLETS) <= called


def test_functions_are_defined_before_anything_runs() -> None:
    assert "\nfunction " not in SCRIPT[SCRIPT.rindex("\ntry {") :]


def test_secrets_are_told_to_nobody_but_the_iscsi_service() -> None:
    shown = [line for line in SCRIPT.splitlines() if re.search(r"\$(secret|mutual)\b", line) and "Add-Result" in line]
    assert all("$(if ($secret)" in line for line in shown)
    assert "-ChapSecret '" not in SCRIPT


def test_options_of_serve_on_the_page_are_options() -> None:
    command = get_command(application()).commands["serve"]  # type: ignore[attr-defined]
    options = {option for parameter in command.params for option in parameter.opts}
    typed = re.findall(r"^    odx-target serve (?:.*\\\n)*.*$", PAGE, re.MULTILINE)
    assert len(typed) == 2
    assert {option for line in typed for option in re.findall(r"--[a-z-]+", line)} <= options


def test_parameters_that_the_page_uses_are_parameters() -> None:
    header = SCRIPT[: SCRIPT.index("\n)\n")]
    declared = {name.lower() for name in re.findall(r"\] \$(\w+)", header)}
    assert "SupportsShouldProcess" in header
    lines = re.findall(r"Test-OdxTarget\.ps1 (-.*)", PAGE)
    assert len(lines) == 2
    inline = " ".join(re.findall(r"`(-(?:Source|Destination|Chap|Mutual|Digests|Initialize)[^`]*)`", PAGE))
    used = set(re.findall(r"(?<=\s)-(\w+)", f" {' '.join(lines)} {inline}"))
    assert {name.lower() for name in used} <= declared | {"whatif"}


def test_only_an_administrator_may_run_it_and_is_told_so_by_powershell() -> None:
    requirements = [line for line in SCRIPT.splitlines() if line.startswith("#Requires")]
    assert requirements == ["#Requires -Version 5.1", "#Requires -RunAsAdministrator"]


FILES = ("source.bin", r"plain\source.bin", "odx.bin", "manual.bin", "zeroed.bin", "zeros.bin")

BODY = SCRIPT[SCRIPT.index("\n)\n") :]
PLAN, RUN = BODY.split("    exit 0\n}\n", 1)


def test_what_if_lists_all_changes_and_makes_none() -> None:
    assert PLAN.endswith("if ($WhatIfPreference) {\n    Show-Plan\n")
    called = {text_of(node) for node in nodes(powershell(PLAN)) if node.type == "command_name"}
    assert called == {"Show-Plan", "Out-Null"}
    assert all(name.rpartition("\\")[2] in RUN and name in PLAN for name in FILES)
    for name, said in (
        ("Set-Service", "MSiSCSI"),
        ("wevtutil", "ClassPnP"),
        ("Set-IscsiChapSecret", "secret"),
        ("Format-Volume", "format"),
    ):
        assert name in RUN
        assert said in PLAN


def test_the_page_undoes_what_a_run_leaves() -> None:
    undo = PAGE[PAGE.index("### Undo everything") : PAGE.index("## What Windows does")]
    for left in (*(name for name in FILES if "\\" not in name), "plain", "Remove-IscsiTargetPortal", "ClassPnP", "MSiSCSI"):
        assert left in undo, left


def test_every_copy_by_token_is_proved_by_the_network_and_the_proof_by_a_copy_without() -> None:
    steps = re.findall(r"Invoke-Step '([^']*)' \{\n(.*?)\n    \}", RUN, re.DOTALL)
    copies = {name: body for name, body in steps if "Measure-Copy" in body}
    assert list(copies) == ["copy without ODX", "copy with ODX", "tokens by hand", "zero token"]
    assert all(("Add-Proof" in body) != ("without" in name) for name, body in copies.items())
    assert "$script:CountersSee = $measured.Bytes -ge $FileBytes" in copies["copy without ODX"]
    assert "($offloaded -and $script:CountersSee)" in RUN
