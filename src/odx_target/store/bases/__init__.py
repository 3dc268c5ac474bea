"""Bases: volumes whose blocks are fetched from outside of the pool."""
