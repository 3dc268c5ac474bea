"""The HTTP control port of a running array: every operation of the control socket, for programs in any language."""
