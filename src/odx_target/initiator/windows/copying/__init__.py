"""The way in which Windows copies a file: offload reads, offload writes, and the reasons why Windows gives up token copy."""
