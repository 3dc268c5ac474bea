"""Entry point of `python -m odx_target`, which runs the `odx-target` program."""

from odx_target.cli.main import main

if __name__ == "__main__":
    main()
