"""The commands `group` and `witness`."""
