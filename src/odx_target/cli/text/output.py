"""Lines on standard output and standard error, without typer, which takes long to load."""

import sys


def show(text: str, *, as_error: bool = False) -> None:
    """Print a line at once. Do nothing if the stream was closed before the start. Raises OSError."""
    stream = sys.stderr if as_error else sys.stdout
    if stream is not None:
        stream.write(f"{text}\n")
        stream.flush()
