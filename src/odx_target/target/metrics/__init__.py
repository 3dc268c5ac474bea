"""The metrics of a running array. Prometheus fetches the metrics over HTTP.

exposition   metric families and their text format
collection   the families of an array
server       the HTTP server, which answers GET /metrics
"""
