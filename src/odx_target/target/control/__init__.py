"""Management of a running array: the operations of `odx-target manage`.

    client       used by the process of `manage`: sends one request to the control socket, returns the result
    server       used by the process of the array: reads requests from the socket, sends responses
    encoding     the JSON text of responses
    operations   performs the operations: one function for each, and the table of all operations
    describe     LUNs, tokens and copies as plain data, for responses
    health       the health of an array as plain data, for responses
    operation    checks the arguments of an operation and calls its function
    arguments    checks single arguments of a request
    storage/     operations on volumes and snapshots, also of a pool that no array serves

For example, the function `_revoke` in `operations` performs `manage POOL revoke`.
"""
