"""The recorder of an array: every command of every host, decoded, as objects.

An array without a recorder pays nothing for it.
"""
