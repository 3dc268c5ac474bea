"""ROD tokens: their format, the data that they represent, and their lifetime (SPC-4 5.16.6, SBC-4 4.28)."""
