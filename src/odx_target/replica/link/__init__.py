"""The protocol between two arrays without I/O: it takes bytes and the time, and returns events and bytes.

frame          the header of a frame, and the division of received bytes into frames
kinds          the table of all kinds of frames
messages       JSON objects in frames, with the bounds of their fields; `bounded_json` bounds the JSON itself
hello          the first frame of each side, and the agreement on a version
channels       the credit and the life of one channel
schedule       the order in which waiting frames are sent
keep_alive     the detection of a dead connection
throttle       the limit of the sent bytes per second
trial          the choice between two ways to send data
outbox         the frames that a connection has to send; `channel_table` its open channels
greeting       what both sides agree on at the beginning
channel_frames the frames of the peer on channels
session        one connection of a path, which joins all of these; begin here
refusals       the answer to a request that is not accepted
reconnection   when a path dials again
limits         every limit of the link
"""
