"""Templates from strangers, rendered in the process: `compile_template(source).render(variables, max_length=...)`.

Needs the extra `dify-kernel[templates]`; the template engine is imported when the first template is compiled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dify_kernel.templates.sandbox import CompiledTemplate

__all__ = ["compile_template"]


def compile_template(source: str) -> CompiledTemplate:
    """Compile a template, or give the one compiled before; NodeFailed names the line of a syntax error."""
    from dify_kernel.templates.sandbox import compile_template as compile_

    return compile_(source)
