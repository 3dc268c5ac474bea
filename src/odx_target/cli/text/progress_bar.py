"""A progress bar on standard error. The bar is shown only on a terminal, and it is removed when the work is done."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import typer

from odx_target.cli.text.sizes import size

if TYPE_CHECKING:
    from rich.progress import Progress


class Advance(Protocol):
    """A function that reports completed bytes. `how` describes in one or two words how the bytes were copied."""

    def __call__(self, count_bytes: int, how: str = "") -> None: ...


@contextmanager
def bar(title: str, total_bytes: int) -> Iterator[Advance]:
    """Show a bar while the body runs. The body calls the returned function to report completed bytes."""
    if not typer.get_text_stream("stderr").isatty():
        yield _show_nothing
        return
    progress = _progress()  # loading rich takes a tenth of a second
    with progress:
        task = progress.add_task(title, total=total_bytes, how="")
        yield lambda count_bytes, how="": progress.update(task, advance=count_bytes, how=how)


def _show_nothing(count_bytes: int, how: str = "") -> None:
    """Do nothing. This function is used if no bar is shown."""


def _progress() -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class RateColumn(ProgressColumn):
        """The speed, in the same units as in the last line of the output."""

        def render(self, task: Task) -> Text:
            return Text(f"{size(task.speed)}/s" if task.speed else "")

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        RateColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[how]}"),
        console=Console(stderr=True),
        transient=True,
    )
