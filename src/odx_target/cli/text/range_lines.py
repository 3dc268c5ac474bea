"""Ranges of a volume as lines of JSON."""

import json
from collections.abc import Sequence
from itertools import chain
from operator import itemgetter

from odx_target.cli.schemas.table import schema_name
from odx_target.target.control.storage.answers import Range

_row = itemgetter("offset_bytes", "length_bytes", "kind")


def range_lines(ranges: Sequence[Range]) -> str:
    """Return a line of JSON for each range. A comparison may have millions of ranges, so all lines are formatted at once."""
    start = json.dumps({"schema": schema_name("range")})[:-1]
    line = f'{start}, "offset_bytes": %d, "length_bytes": %d, "kind": "%s"}}\n'
    return line * len(ranges) % tuple(chain.from_iterable(map(_row, ranges)))
