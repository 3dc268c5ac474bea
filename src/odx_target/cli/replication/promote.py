"""The module that adds `odx-target promote`; see `failover`."""

from odx_target.cli.replication.failover import register_promote as register

__all__ = ["register"]
