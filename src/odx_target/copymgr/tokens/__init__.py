"""ROD tokens: their bytes, what they represent, and how long they live (SPC-4 5.16.6, SBC-4 4.28)."""
