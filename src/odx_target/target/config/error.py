class ConfigError(Exception):
    """A setting is invalid. The message is one clear line."""
