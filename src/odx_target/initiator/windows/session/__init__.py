"""Windows' logins and paths, and the retries of its port driver and its multipath module."""
