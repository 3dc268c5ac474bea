"""The pairing of two arrays: both prove that they know the same path key, and remember each other's certificate.

path_key       making, checking and stretching of path keys
messages       the bodies of the four frames
handshake      both sides of the pairing, without I/O
desk           the paths that wait for their pairing, for a limited time and number of attempts
"""
