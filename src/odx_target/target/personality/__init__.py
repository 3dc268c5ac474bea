"""Personalities: identities, limits and habits of other arrays, as data files. A file is read, checked, shown and applied."""
