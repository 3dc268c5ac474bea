"""Logins, paths and retries below the disk, as Windows has them."""
