"""An initiator that behaves like Windows: its commands, their order, and the reasons why it gives up token copy.

Nothing here uses sockets or clocks directly: commands are sent through a `Path`, and time comes from a `Clock`. What is known
about Windows, and how certain it is, is in interop/windows/README.md; the section numbers in `rules` refer to that document.
"""
