"""The commands that read, write, format or describe logical blocks (SBC-4), and checks that only these commands need."""
