"""An initiator that behaves like Windows. It has Windows' commands, their order, and the reasons why Windows gives up token
copy.

The modules use no sockets or clocks directly: commands are sent through a `Path`, and time comes from a `Clock`. The document
interop/windows/README.md describes the behaviour of Windows, and how certain each fact is. The section numbers in `rules` refer
to this document.
"""
