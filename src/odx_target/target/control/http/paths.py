"""The paths of the HTTP control port."""

PREFIX = "/v1/"
"""First part of the path of every operation. A change after which clients no longer work gets another number."""
