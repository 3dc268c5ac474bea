"""The way in which Windows copies a file: offload reads, offload writes, and the conditions under which Windows stops using
them.
"""
