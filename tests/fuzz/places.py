"""The place at which the program has raised an exception."""

from typing import NamedTuple


class Place(NamedTuple):
    """A line of a function. `file` is relative to the package."""

    file: str
    function: str
    line: int


def innermost_place(error: BaseException) -> Place | None:
    """Return the innermost place in the program at which an exception was raised, or None if it was raised elsewhere."""
    place = None
    traceback = error.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        _, package, file = code.co_filename.rpartition("odx_target/")
        if package:
            place = Place(file, code.co_name, traceback.tb_lineno)
        traceback = traceback.tb_next
    return place
