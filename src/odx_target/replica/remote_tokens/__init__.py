"""Tokens that one array makes and another array redeems.

messages     the requests about tokens, their answers, and the codes of refusals
limits       limits with their reasons
rod_blocks   the data of a token as blocks, for the exchange of blocks
leases       the tokens that peers use now         token_server  serves the requests of peers
staging_names  the names of the volumes for arriving data
staging      the volume that takes the data that arrives, until a copy shares its blocks
pull         one request for a range of the data
question     a request that a command waits for as long as its time allows
unit_tokens  requests to other arrays about their logical units, for EXTENDED COPY
unit_writer  serves the requests of peers to write a logical unit
remote_token a token of another array, with its lease and the data that has arrived
remote_rod   the data of such a token for one command
redeemer     finds the array of a token, and keeps the tokens in use; begin here
"""
