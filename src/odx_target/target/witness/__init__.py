"""A witness of groups without LUNs: a small pool, a link port and a control socket.

witness     the running witness
operations  the requests of its operator
"""
