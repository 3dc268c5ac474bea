"""The file of a recorded session: every input and every answer of an array, with times. docs/recording-format.md describes it.

`frames` has the format of the file, and `settings_codec` that of the settings in it. `frame_writer` writes the file, and
`frame_reader` reads it up to the last whole frame. `decoded` turns its bytes into PDUs.
"""
