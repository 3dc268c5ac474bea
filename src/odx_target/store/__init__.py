"""Copy-on-write volumes that share one log. This package handles blocks and does not depend on SCSI."""
