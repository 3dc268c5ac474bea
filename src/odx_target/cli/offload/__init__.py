"""`odx-target explain` and `odx-target offload`: which copies an array has made for hosts, and why it refused others."""
