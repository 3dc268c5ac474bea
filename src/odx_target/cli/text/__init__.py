"""What a terminal shows: tables, sizes, dumps, progress, errors."""
