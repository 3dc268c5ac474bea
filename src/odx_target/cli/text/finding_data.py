"""The findings of `windows-copy` and `esxi-copy` as plain data."""

from typing import Annotated, TypedDict


class FindingData(TypedDict):
    """A rule of a host that applied."""

    weight: Annotated[str, "how severe it is"]
    words: Annotated[str, "the first case in which the rule applied"]
    times: Annotated[int, "number of cases"]
