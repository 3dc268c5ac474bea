"""Access of initiators: the targets of an array, and the LUNs that each initiator can use."""
