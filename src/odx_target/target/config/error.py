class ConfigError(Exception):
    """A setting that cannot be; the message is one clear line."""
