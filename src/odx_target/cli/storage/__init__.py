"""`snapshot`, `clone` and `volume`: they change the array that serves a pool, or else the pool itself."""
