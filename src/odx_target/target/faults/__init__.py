"""Injected faults: rules that make the array fail at a chosen place, at a chosen moment, in a chosen way."""
