"""An array for the tests of other projects: started in milliseconds, on a free port, without root.

    from odx_target.testing import running_array

    with running_array(luns={"a": "1G", "b": "64M"}) as array:
        ...  # connect an initiator to array.url("a")

The names in `__all__` and their public attributes are the public interface, together with the fixtures and options of
`odx_target.pytest_plugin`. They follow semantic versioning: what works with version X.Y works with every later version
X.Z. Everything else in this package may change at any time.
"""

from odx_target.initiator.disk import CommandFailed
from odx_target.initiator.result import CommandResult
from odx_target.target.recording.offload import Offload, RefusedCopy
from odx_target.target.recording.seen_command import SeenCommand, SeenSense
from odx_target.testing.clock import TestClock
from odx_target.testing.command_list import CommandList
from odx_target.testing.faults import Faults
from odx_target.testing.host import Host
from odx_target.testing.running_array import RunningArray, running_array

__all__ = [
    "CommandFailed",
    "CommandList",
    "CommandResult",
    "Faults",
    "Host",
    "Offload",
    "RefusedCopy",
    "RunningArray",
    "SeenCommand",
    "SeenSense",
    "TestClock",
    "running_array",
]
