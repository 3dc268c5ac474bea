"""docs/odx-target.1 is the man page of the present commands."""

from tests.cli.man_page import PAGE, escaped, page
from tests.cli.test_strange_input import LEAVES

TEXT = PAGE.read_text()


def test_the_page_is_made_from_the_commands() -> None:
    assert page() == TEXT, "python -m tests.cli.man_page writes it"


def test_the_page_has_every_command_and_every_option() -> None:
    for name, command in LEAVES.items():
        first, _, rest = name.partition(" ")
        title = f'.SS "{escaped(f"{first} POOL {rest}" if first == "manage" else name)}'
        section = TEXT.partition(title)[2].partition("\n.SS ")[0]
        for parameter in command.params:
            for option in parameter.opts if parameter.param_type_name == "option" else ():
                assert escaped(option) in section, (name, option)


def test_no_line_of_text_is_taken_for_a_command() -> None:
    requests = {line.split()[0] for line in TEXT.splitlines() if line.startswith((".", "'"))}
    assert requests == {'.\\"', ".TH", ".SH", ".SS", ".PP", ".TP", ".B", ".I"}
    assert escaped(".x 'a' -b \\ `c`") == "\\&.x \\(aqa\\(aq \\-b \\e c"
