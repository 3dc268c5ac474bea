"""All checks, in the order in which they run."""

from odx_target.conformance.asymmetric_access import changes, reports
from odx_target.conformance.block import provisioning, transfer
from odx_target.conformance.check import Check
from odx_target.conformance.extended_copy import copies, refusals
from odx_target.conformance.iscsi import commands, digests, keys, login, tasks
from odx_target.conformance.primary import inquiry, unit
from odx_target.conformance.reservations import catalogue as reservations
from odx_target.conformance.token_copy import page, populate, progress, results, tokens, write, write_refusals

CHECKS: tuple[Check, ...] = (
    *login.CHECKS,
    *keys.CHECKS,
    *commands.CHECKS,
    *digests.CHECKS,
    *tasks.CHECKS,
    *inquiry.CHECKS,
    *unit.CHECKS,
    *reports.CHECKS,
    *changes.CHECKS,
    *transfer.CHECKS,
    *provisioning.CHECKS,
    *page.CHECKS,
    *populate.CHECKS,
    *write.CHECKS,
    *write_refusals.CHECKS,
    *tokens.CHECKS,
    *results.CHECKS,
    *progress.CHECKS,
    *copies.CHECKS,
    *refusals.CHECKS,
    *reservations.CHECKS,
)
