"""SCSI: the device server and its command table, logical units, sense data, and the layouts of command descriptor blocks
(CDBs).
"""
