"""The commands that copy by tokens: rows of the command table, parameter lists, checks and responses."""
