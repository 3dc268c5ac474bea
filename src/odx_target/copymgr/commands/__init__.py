"""The commands of token copy: rows, parameter lists, checks, answers."""
