"""Keeps what the arrays, multipathd and the kernel of a guest have recorded of a fault after which hosts waited long."""

import os
import shutil
from pathlib import Path

from tests.interop.guest.conftest import Guest
from tests.interop.guest.grouped_arrays import GroupedArrays

KEPT_GAP_S = float(os.environ.get("FAILOVER_KEPT_GAP_S", "20"))
"""Gaps longer than this are explained by traces that stay after the run."""

FOLDER = "FAILOVER_TRACES"
"""Environment variable with the folder for traces."""

DEFAULT_FOLDER = "var/failover"

KEEP_TIMEOUT_S = 30
"""Time for a guest to copy its logs. A guest whose disk is stuck may take longer."""


class GapTraces:
    """The traces of both arrays and the logs of a guest, which are forgotten after each fault with a short gap."""

    def __init__(self, guest: Guest, arrays: GroupedArrays) -> None:
        self._guest = guest
        self._arrays = arrays
        self._folder = Path(os.environ.get(FOLDER, DEFAULT_FOLDER))
        shutil.rmtree(self._folder, ignore_errors=True)

    def end_fault(self, number: int, kind: str, gap_s: float) -> str | None:
        """Keep the records of a fault if its gap was long, and begin anew. Returns the folder with them, or None. Raises
        GuestError.

        The logs of the guest have its own time, which the file `times` compares with that of the arrays.
        """
        folder = self._folder / f"{number}-{kind}" if gap_s > KEPT_GAP_S else None
        if folder is not None:
            folder.mkdir(parents=True)
        for member in self._arrays.members:
            for path in member.records:
                if folder is not None:
                    shutil.copy(path, folder / path.name)
                os.truncate(path, 0)  # The array appends to them.
        if folder is not None:
            self._guest.run(f"keep_logs /share/{folder.name}", timeout_s=KEEP_TIMEOUT_S)
            for path in sorted((self._guest.share / folder.name).iterdir()):
                shutil.copy(path, folder / path.name)
        self._guest.run("forget_logs")
        return str(folder) if folder is not None else None
