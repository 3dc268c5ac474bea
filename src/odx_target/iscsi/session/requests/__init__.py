"""The requests of an initiator that are not SCSI commands."""
