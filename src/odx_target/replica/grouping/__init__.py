"""Making and removing a group across two arrays and a witness.

A group is made at its primary (`founding`). The primary asks the other member and the witness (`server`), in this order: the
other member makes its volumes, the witness keeps the register, the other member begins, and at last the primary begins. Before
the last step, the primary serves its volumes as before. So a step that fails leaves the primary unchanged. The other steps are
undone if the arrays can be reached, and a repetition replaces what they have left. `removal` removes a group.
"""
