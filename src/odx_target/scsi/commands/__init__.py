"""The commands about the logical unit itself, and checks and replies that several commands need. See also blocks/."""
