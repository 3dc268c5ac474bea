"""A logical unit: a volume as SCSI shows it."""
