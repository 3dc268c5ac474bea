"""A session as its initiator sees it: portals, login, commands on their way (RFC 7143)."""
