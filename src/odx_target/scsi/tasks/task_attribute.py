"""Task attributes. The attribute of a task affects its order among the tasks of the logical unit (SAM-5 8.9)."""

from enum import IntEnum


class TaskAttribute(IntEnum):
    """Task attributes, numbered as iSCSI sends them (RFC 7143 11.3.1)."""

    UNTAGGED = 0
    SIMPLE = 1
    ORDERED = 2
    HEAD_OF_QUEUE = 3
    ACA = 4
