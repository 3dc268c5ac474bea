"""Checks of asymmetric logical unit access: target port groups and their states (SPC-4 5.15.2)."""
