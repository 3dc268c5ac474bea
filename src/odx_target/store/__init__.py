"""Copy-on-write volumes over one log. Knows blocks, nothing of SCSI."""
