"""An initiator that behaves like Windows: its commands, their order, and the reasons for which it gives up token copy.

Nothing here uses sockets or waits by itself: commands go over a `Path`, time comes from a `Clock`. The knowledge about
Windows, and its certainty, is in interop/windows/README.md; the section numbers in `rules` are those of that document.
"""
