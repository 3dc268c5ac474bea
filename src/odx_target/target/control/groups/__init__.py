"""The operations on groups of volumes that two arrays keep equal at every instant.

answers     the answers as types
conditions  what an operator must know about a group now, as one table
describe    groups as plain data
operations  make, list, switch over and delete groups
"""
