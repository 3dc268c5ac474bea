"""The operations on groups of volumes that two arrays keep equal at every instant.

answers      the answers as types
conditions   what an operator must know about a group now, as one table
describe     groups as plain data
member_luns  the LUNs of this array, as making and removing groups changes them
operations   make, list, switch over and delete groups
"""
