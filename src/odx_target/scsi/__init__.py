"""SCSI: codecs, the command table and the device server."""
