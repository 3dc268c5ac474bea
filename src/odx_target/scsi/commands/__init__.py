"""Commands of a direct access block device, and what several of their handlers share."""
