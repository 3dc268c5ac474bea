"""An initiator that copies virtual disks in the way of ESXi's data mover, and falls back to reads and writes for the same
reasons.

The modules use no sockets, clocks or tasks directly; they get them from a `Runtime`. docs/esxi-copy.md describes the behaviour
of ESXi, and how certain each fact is.
"""
