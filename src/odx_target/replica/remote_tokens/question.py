"""A request to another array that a background job makes, while a command waits for its answer as long as its time allows."""

from collections.abc import Mapping

from odx_target.replica.link.bounded_json import Json
from odx_target.replica.link.errors import LinkError


class Question:
    """The answer of the other array, or the failure of the request. Neither is there before the job has ended."""

    def __init__(self) -> None:
        self.answer: Mapping[str, Json] | None = None
        self.failure: LinkError | None = None

    @property
    def is_done(self) -> bool:
        return self.answer is not None or self.failure is not None
