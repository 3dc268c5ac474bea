"""The words of fault rules."""
