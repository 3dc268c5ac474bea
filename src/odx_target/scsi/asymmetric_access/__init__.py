"""Asymmetric logical unit access (SPC-4 5.15): target port groups, and their access states for a logical unit."""
