"""The iSCSI protocol (RFC 7143) without I/O: it takes bytes and returns events.

pdu            PDU headers as data and as bytes, key=value text, and the framing of PDUs in a stream; for both ends
negotiation    text keys and the rules by which both ends agree on their values
login          the target's end of a login: its stages, and authentication by CHAP
session        the target's end: connections, sessions, and what each PDU does; begin with `session.connection`
names          iSCSI names and their comparison
host_names     checks of host names before they are looked up
limits         every limit of the target's side
"""
