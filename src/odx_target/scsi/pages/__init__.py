"""Pages that describe a logical unit: vital product data, mode and log pages (SPC-4 7)."""
