"""`python -m odx_target` is `odx-target`."""

from odx_target.cli.main import main

if __name__ == "__main__":
    main()
