"""The array: logical units, the server that hosts connect to, control, configuration and traces."""
