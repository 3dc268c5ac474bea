"""docs/faults-seen.md shows the tables with which the tests compare what initiators see."""

from tests.interop.faults.document import DOCUMENT, generated


def test_the_page_shows_the_tables() -> None:
    assert DOCUMENT.read_text() == generated(), "python -m tests.interop.faults.document writes it"
