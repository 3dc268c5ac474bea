"""Traces and captures of sessions: one line of text per PDU, and pcapng files that Wireshark opens.

A connection uses only the interface in `tap`. `tracing` is the tap of `odx-target serve`. `tracing` uses `frames` to divide the
bytes into PDUs, and `conversation` to join the PDUs of one command. `pdu_line`, `parameter_list_text` and `one_line` describe a
PDU as text. `pcapng` and `tcp_segments` convert a PDU to packets. `trace_files`, `record_writer` and `record_file` write the
files.
"""
