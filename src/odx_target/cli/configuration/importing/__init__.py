"""`odx-target import-config`: configuration files of other targets as a configuration file of odx-target."""
