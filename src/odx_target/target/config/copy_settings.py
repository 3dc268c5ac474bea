"""The settings of a copy manager, from an array's configuration."""

from dataclasses import replace

from odx_target.copymgr.limits import ANSWER_RESERVE_S, CopyLimits, CopyOptions
from odx_target.target.config.settings import Config


def copy_limits_of(config: Config) -> CopyLimits:
    """Return the limits of the copy manager.

    If `copy_budget_s` is configured, at most half of this time is reserved for the response.
    """
    limits = config.personality.copy_limits
    if config.copy_budget_s is None:
        return limits
    reserve_s = min(ANSWER_RESERVE_S, config.copy_budget_s / 2)
    return replace(limits, command_budget_s=config.copy_budget_s, answer_reserve_s=reserve_s)


def copy_options_of(config: Config) -> CopyOptions:
    """Return the options of the copy manager. What the owner or the personality does not allow is not allowed."""
    allowed = config.personality.copy_options
    return replace(
        allowed,
        lenient_lookup=not config.strict_list_identifiers,
        token_causes_reported=config.report_token_causes and allowed.token_causes_reported,
        zero_token_accepted=config.accept_zero_token and allowed.zero_token_accepted,
        step_aside_copies=config.step_aside_copies,
        step_aside_latency_s=config.step_aside_latency_s,
        token_access=config.token_access,
        unreachable_sense=config.unreachable_sense,
        missing_commands=config.personality.missing_commands,
    )
