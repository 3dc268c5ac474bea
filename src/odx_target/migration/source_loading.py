"""The source of an import. The modules of the initiator are loaded with the first source, because most arrays import no LUN."""

from odx_target.environment import Environment
from odx_target.migration.record import ImportRecord
from odx_target.migration.source import Source, SourceLun


def source_of(record: ImportRecord, expected: SourceLun | None, environment: Environment) -> Source:
    """Make the source of an import; see `source_of` in `iscsi_source.py`. Raises SourceRefused."""
    from odx_target.migration import iscsi_source

    return iscsi_source.source_of(record, expected, environment)
