"""The module that adds `odx-target reverse`; see `failover`."""

from odx_target.cli.replication.failover import register_reverse as register

__all__ = ["register"]
