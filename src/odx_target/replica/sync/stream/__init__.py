"""The stream of a group: the changes of the primary on their way to the other member, and a resync.

outgoing_stream  the primary's side: opens the stream, plans a resync, adds or drops the other member; begin here
stream_sender    ships the changes of one stream, and the content of a resync before them
shipping         reads the changes of the group in the log
resync           the content that a resync ships
snapshot_chain   the older snapshots that a resync ships
incoming_stream  the other member's side: serves the stream of the primary
stream_receiver  takes what arrives, in order, and answers
relog            makes the changes again in the own pool
preparation      what the other member prepares for a change that it may refuse
shipped_volumes  volumes that come and go with the stream
items            the changes as bytes          documents      volumes and snapshots as documents
stream_messages  the greetings of both sides   stream_meter   the times and the rate of a stream
background_answers  answers to what takes long
"""
