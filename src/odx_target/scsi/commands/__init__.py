"""The handlers of all commands of a direct access block device, and the checks that several handlers share."""
