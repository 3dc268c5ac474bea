"""Windows' logins, paths, and retries by its port driver and multipath module."""
