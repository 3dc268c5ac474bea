"""Replies that wait until another array has the changes of their commands too."""
