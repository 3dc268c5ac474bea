"""Checks of EXTENDED COPY and its results (SPC-4)."""
