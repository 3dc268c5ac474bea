"""Loads the modules that a served array needs only after its start, in a thread. Without this, the first command that needs one
of them would wait for it, and all other commands too.
"""

from importlib import import_module

import trio

from odx_target.target.event_log import log

MODULES = ("construct", "numpy", "odx_target.target.control.operations", "odx_target.target.reconfiguration")

DELAY_S = 1.0
"""Time after the start. Hosts often log in within this time, and the imports would take processor time from them."""


async def load_later() -> None:
    """Load the modules. If the caller is cancelled, it waits for the import of the present module, because the process must not
    end during an import. If a module cannot be loaded now, for example without a free descriptor, its first use tries again.
    """
    await trio.sleep(DELAY_S)
    try:
        await trio.to_thread.run_sync(_load)
    except (ImportError, OSError, MemoryError, RuntimeError) as error:  # RuntimeError: no thread
        log.warning("modules are loaded later, because they cannot be loaded now", error=repr(error))


def _load() -> None:
    for module in MODULES:
        trio.from_thread.check_cancelled()
        import_module(module)
