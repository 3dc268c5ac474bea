"""Commands of `odx-target manage` for testers: the clock of an array, its recorded commands, and what it offloaded."""
