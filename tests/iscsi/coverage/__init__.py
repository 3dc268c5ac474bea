"""The rules of RFC 7143 on names, login, text and keys, each with the tests that check it.

`python -m tests.iscsi.coverage` writes them to docs/coverage-iscsi.md. `tests/iscsi/test_coverage.py` checks that the document
is current and that the tests exist.
"""

from tests.iscsi.coverage import declared_keys, login_pdus, login_phase, naming, negotiated_keys, text_format, text_pdus
from tests.iscsi.coverage.row import Row

ROWS: tuple[Row, ...] = (
    *naming.ROWS,
    *text_format.ROWS,
    *login_phase.ROWS,
    *text_pdus.ROWS,
    *login_pdus.ROWS,
    *declared_keys.ROWS,
    *negotiated_keys.ROWS,
)
