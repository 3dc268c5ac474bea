"""The additional sense codes that SPC-4 assigns, with their meanings. A code is an additional sense code with its qualifier.

Ranges of codes, whose qualifier is a number of a component or a task, are left out.
"""

from odx_target.scsi.additional_sense import codes_00_to_1f, codes_20_to_3f, codes_40_to_74

MEANINGS: dict[tuple[int, int], str] = {**codes_00_to_1f.MEANINGS, **codes_20_to_3f.MEANINGS, **codes_40_to_74.MEANINGS}
"""Meanings by the additional sense code and its qualifier (SPC-4 annex F.2)."""
