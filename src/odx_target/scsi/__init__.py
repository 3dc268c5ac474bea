"""SCSI: the device server and its command table, logical units, sense data, and the layouts of CDBs."""
