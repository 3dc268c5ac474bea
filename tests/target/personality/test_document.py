"""docs/personalities.md shows the data files, and its example is one."""

import re
import tomllib

from odx_target.target.personality.reading import personality_of
from tests.target.personality.document import DOCUMENT, generated

TEXT = DOCUMENT.read_text()


def test_the_tables_are_those_of_the_files() -> None:
    assert generated(TEXT) == TEXT, "python -m tests.target.personality.document writes them"


def test_the_example_is_a_personality() -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    found = personality_of("ours", tomllib.loads(example))
    assert found.unit.vendor == b"OURS    "
    assert [rule["name"] for rule in found.faults] == ["ours.slow-writes"]


def test_the_example_of_a_test_runs() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    exec(compile(example, str(DOCUMENT), "exec"), {})
