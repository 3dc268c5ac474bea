"""The exchange that moves blocks from one array to another and does not send what the receiver has already.

formats        the bodies of OFFER, WANT and DATA
fingerprints   keyed hashes of blocks
hints          where the receiver may have the data of a fingerprint; a hint may be wrong. `hint_tables` has those of all paths
compression    compression of DATA, and its bounded decompression
part_finder    division of a range into parts, without the blocks that the receiver has
sender         the side that has the data          receiver  the side that gets it
requests       the requests for blocks and digests of snapshots
fill           a request for blocks of a snapshot, which is continued after a cut; begin here
snapshot_server  the answers to such requests
"""
