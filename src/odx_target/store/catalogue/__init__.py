"""Checkpoints: what a pool keeps outside its log."""
