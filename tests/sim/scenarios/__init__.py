"""Scenarios of the simulation: what arrays of one world do while faults happen to them, and what must hold.

stage      the arrays of a scenario, their faults, and the checks that hold at all times; begin here
faults     the table of the faults
table      the table of the scenarios
links      messages between two arrays, whose path is changed meanwhile
pairings   two arrays that pair by a path key, with a man in the middle
fills      copies of snapshots in both directions, while the sources are written
hub        sixteen paths of one array
cuts       a small copy by a token of another array, cut at the byte that the seed names
remote_copies  copies of a host by tokens of another array
"""
