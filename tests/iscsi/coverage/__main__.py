"""Write the document."""

from tests.iscsi.coverage import ROWS
from tests.iscsi.coverage.document import PATH, document

PATH.write_text(document(ROWS), encoding="utf-8")
