"""The reasons for the values of constants, read from the source code. The reason for a value is in the string below the
constant.
"""

import ast
import inspect
import re
from itertools import pairwise
from types import ModuleType


def reasons_of(module: ModuleType) -> dict[str, str]:
    """Return the first sentence of the string below each constant of a module, by the constant's name."""
    reasons: dict[str, str] = {}
    for statement, following in pairwise(ast.parse(inspect.getsource(module)).body):
        if isinstance(statement, ast.Assign) and isinstance(following, ast.Expr):
            match following.value:
                case ast.Constant(value=str(text)):
                    targets = [name for target in statement.targets for name in ast.walk(target) if isinstance(name, ast.Name)]
                    reasons.update({target.id: first_sentence(text) for target in targets})
    return reasons


def first_sentence(text: str) -> str:
    """Return the first sentence of a text, on one line and without its full stop."""
    joined = " ".join(text.split())
    return re.split(r"\.(?: |$)", joined, maxsplit=1)[0]
