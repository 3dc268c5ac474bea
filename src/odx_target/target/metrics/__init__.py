"""The numbers of a running array for Prometheus, which fetches them over HTTP.

exposition   metric families and their text format
collection   the families of an array
server       the HTTP server, which answers GET /metrics
"""
