"""Other arrays: the link between two arrays, and what they exchange over it.

link           frames, classes, credit, keep-alive and reconnection of a connection between two arrays, without I/O
"""
