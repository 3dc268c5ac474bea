"""Sessions made visible: one readable line per PDU, and pcapng files that Wireshark opens.

`tap` is what a connection knows of all this; `tracing` is the tap that `odx-target serve` gives to its array. Behind it
`frames` cuts the tapped bytes into PDUs, `conversation` joins what belongs to one command, `lines` puts a PDU into words, and
`pcapng` with `segments` makes packets of it.
"""
