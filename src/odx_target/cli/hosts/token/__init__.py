"""`odx-target token`: single commands of token copy, for testers."""
