"""The peers of an array: its paths, its link port, and the pairings that operators begin."""
