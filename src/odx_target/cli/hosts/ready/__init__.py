"""`odx-target ready`: report if a target is fit for the offloads of Windows, of ESXi and of ddpt."""
