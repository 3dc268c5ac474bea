"""The paths that a configuration file names."""

from collections.abc import Sequence
from typing import Any

import trio

from odx_target.replica.link.errors import LinkError
from odx_target.replica.link.throttle import Rates
from odx_target.replica.paths.settings import CompressionChoice, PathSettings, Right
from odx_target.store.api import StoreError
from odx_target.target.config.error import ConfigError
from odx_target.target.config.path_key_file import read_path_key
from odx_target.target.config.settings import PathTemplate
from odx_target.target.peers.peering import Peering
from odx_target.target.reporter import Reporter


async def open_configured_paths(peering: Peering, templates: Sequence[PathTemplate], reporter: Reporter) -> None:
    """Change the paths that exist already, and wait for the pairing of the others.

    A path that cannot be opened is reported, and the array continues without it.
    """
    for template in templates:
        try:
            await _open(peering, template, reporter)
        except (ConfigError, LinkError, StoreError) as error:
            reporter.report(
                "error", "a configured path cannot be used", cause=template.name, path=template.name, error=str(error)
            )


async def _open(peering: Peering, template: PathTemplate, reporter: Reporter) -> None:
    path = peering.paths.get(template.name)
    if path is not None:
        changes = _changes(template, path.settings)
        if changes:
            await peering.change(template.name, **changes)
        return
    if template.key_file is None:
        raise ConfigError("it is not paired yet, and has no key-file")
    if template.key_file.exists() and not template.key_file.is_file():
        raise ConfigError(f"key file {template.key_file}: want a regular file, which can be read again")
    key, warnings = await trio.to_thread.run_sync(read_path_key, template.key_file)
    for warning in warnings:
        reporter.report("warning", warning, cause=template.name, path=template.name)
    rights = frozenset(Right) if template.rights is None else template.rights
    waiting = await peering.add(template.name, key, template.peer, rights, template.rates or Rates())
    waiting.compression = template.compression or CompressionChoice.AUTO


def _changes(template: PathTemplate, present: PathSettings) -> dict[str, Any]:
    """Return the settings of a path that differ from those in the file. What the file does not name stays."""
    named: dict[str, Any] = {
        "address": template.peer,
        "rights": template.rights,
        "rates": template.rates,
        "compression": template.compression,
    }
    return {name: value for name, value in named.items() if value is not None and value != getattr(present, name)}
