"""An initiator that behaves as Windows does: what it asks, what it sends, what makes it give up token copy and why.

Nothing here waits by itself or knows of sockets: commands go over a `Path`, time comes from a `Clock`. What is known of
Windows and how surely stands in interop/windows/README.md; the numbers of `rules` are the sections there.
"""
