"""The words of fault rules: one table that parses, checks, documents and applies them.

A rule has words that say where it applies, when it fires, and which faults it then injects. The same words are the keys of a
table `[[fault]]` in the configuration, of the JSON of the control socket, and the KEY=VALUE arguments of `odx-target fault add`
and of `FaultRules.add`.
"""

from odx_target.target.faults.words.what import FAULTS
from odx_target.target.faults.words.when import WHEN
from odx_target.target.faults.words.where import WHERE
from odx_target.target.faults.words.word import Word

WORDS: dict[str, Word] = {word.key: word for word in (*WHERE, *WHEN, *FAULTS)}
"""All words by their key."""
