"""Management of a running array: what `odx-target manage` asks for, and where it is done.

    client       in the process of `manage`: sends one request to the control socket, returns the result
    server       in the process of the array: reads requests from the socket, sends answers
    operations   does the work: one function for each operation, and the table that names them all
    describe     LUNs, tokens and copies as plain data, for the answers; `health` the same for what is wrong
    arguments    checks the arguments of a request

To follow `manage POOL revoke`, go straight to `_revoke` in `operations`.
"""
