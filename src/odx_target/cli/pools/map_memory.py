"""The memory for the maps of a pool that a command checks or repairs."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from odx_target.store.catalogue.sqlite import SqliteCatalogue
from odx_target.store.error_kinds import of_write
from odx_target.store.map.leaf_memory import DEFAULT_MAP_MEMORY_BYTES
from odx_target.store.opening.leaf_overflow import OverflowOptions
from odx_target.target.config.error import ConfigError
from odx_target.target.config.parsing import parse_map_memory

MapMemory = Annotated[
    str,
    typer.Option(
        "--map-memory",
        metavar="SIZE",
        help="Maximum memory for the maps; at least 16M. Larger maps use the directory for temporary files ($TMPDIR).",
    ),
]
DEFAULT_MAP_MEMORY = f"{DEFAULT_MAP_MEMORY_BYTES >> 20}M"


@contextmanager
def bounded_maps(map_memory: str) -> Iterator[OverflowOptions]:
    """Bound the memory for maps inside this context. What does not fit is stored in temporary files."""
    try:
        map_memory_bytes = parse_map_memory(map_memory)
    except ConfigError as error:
        raise typer.BadParameter(str(error)) from error
    with ExitStack() as stack:

        def make() -> SqliteCatalogue:
            try:
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="odx-target-"))
            except OSError as error:
                raise of_write("making a temporary directory", error) from error
            catalogue = SqliteCatalogue(Path(folder) / "leaves.sqlite")
            stack.callback(catalogue.close)
            return catalogue

        yield OverflowOptions(make, map_memory_bytes)
