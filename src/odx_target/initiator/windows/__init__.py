"""An initiator that behaves like Windows. This initiator sends the commands of Windows in the same order, and gives up token
copy for the same reasons.

The modules use no sockets or clocks directly: commands are sent through a `Path`, and time comes from a `Clock`. The document
interop/windows/README.md describes the behaviour of Windows, and how certain each fact is. The section numbers in `rules` refer
to this document.
"""
