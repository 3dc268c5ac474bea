"""Results as JSON. Each result begins with its schema."""

import json
from collections.abc import Mapping

from odx_target.cli.schemas.table import schema_name


def json_text(name: str, answer: Mapping[str, object], indent: int | None = 2) -> str:
    """Return a result as JSON. `name` is its name in the table of results."""
    return json.dumps({"schema": schema_name(name), **answer}, indent=indent)
