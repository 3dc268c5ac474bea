"""The network of the links: TLS connections, the listener for peers, and pairings over TLS. Only here does `replica` do I/O.

certificates   the certificate and the private key of an array
tls            TLS 1.3 with pinned certificates, and connections
dialler        connects to peers, also for pairings
greetings      limits the connections of unknown peers
listener       accepts peers, also for pairings
"""
