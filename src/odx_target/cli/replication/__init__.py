"""The commands `protect`, `replicate`, `remote`, `promote` and `reverse`."""
