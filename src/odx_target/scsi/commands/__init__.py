"""The handlers of all commands of a direct access block device, and checks that several handlers use."""
