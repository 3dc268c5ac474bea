"""The commands of token copy: their rows in the command table, parameter lists, checks and responses."""
