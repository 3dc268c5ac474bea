"""Anchors: maps of the volumes of a group that both members have of one moment, and what rests on them.

anchors           the anchors that a member keeps
anchoring         takes anchors, and compares their digests
changed_blocks    the blocks that differ from an anchor
reading           reads and compares all data of an anchor
forced_promotion  returns to the last anchor if a resync was interrupted
"""
