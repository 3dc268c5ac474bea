"""The iSCSI protocol (RFC 7143) without I/O: bytes in, events out.

Where things are, in the order they are best read:

    both ends     opcodes, header, pdu_formats, request_pdus, response_pdus, pdu   headers as data, and their bytes
                  framing                                                          PDUs out of a stream and into one
                  text_format, text_keys, negotiation                              key=value text and its rules
    target        connection         what the edge talks to; begin reading there
                  login, session     who comes in, and which session it is
                  full_feature       what each PDU does after that
                  command_window     CmdSN: which command may come, and when it runs
                  data_out           collecting the data of writes
                  tasks              open commands and task management
                  replies, writer    what is sent
                  text_requests      SendTargets
                  liveness           timers
                  directory          what is asked of the edge
                  events, limits     data
"""
