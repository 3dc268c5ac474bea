"""numpy, loaded when it is first used. An array that has just started does not use it, and loading it takes as long as many
other parts of the start.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
else:

    class _OnDemand:
        """Has the attributes of numpy. An attribute that was used once is found as fast as in the module itself."""

        def __getattr__(self, name: str) -> object:
            import numpy

            value = getattr(numpy, name)
            setattr(self, name, value)
            return value

    np = _OnDemand()

__all__ = ["np"]
