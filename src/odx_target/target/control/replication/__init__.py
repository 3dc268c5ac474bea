"""The operations on the replication of snapshots.

answers      the answers as types
describe     protections and copies as plain data
protections  protect volumes, and send their snapshots
copies       list and clone the copies that other arrays have sent
"""
