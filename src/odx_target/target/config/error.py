class ConfigError(Exception):
    """A setting is invalid. The message is one line that explains the error."""
