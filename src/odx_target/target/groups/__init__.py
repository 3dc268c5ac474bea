"""The groups of an array as hosts see them: which commands their logical units accept, and the target port groups of both
members.

`replica.sync` keeps the volumes equal. An array without a link port whose pool knows no group does not
load this package.
"""
