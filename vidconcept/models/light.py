"""Importing diffusers for the embedded model: in half of the time and in 90 MB less.

What diffusers looks for on its way, transformers, peft, libraries that quantize and the compiler of torch, makes up
most of its import, and the embedded model needs none of it there. The rest of a process would find a diffusers without
what rests on them, so only a process that is this tool's own and reads footage with one model says that it may be so.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

log = logging.getLogger(__name__)
# To Python a module that is None here is one that cannot be found.
HIDDEN = ("transformers", "peft", "torchao", "bitsandbytes")
COMPILER = "torch._dynamo"
_allowed = False


def allow() -> None:
    """This process loads one model and has no other use for diffusers."""
    global _allowed
    _allowed = True


def import_diffusers() -> None:
    """Import what the embedded model needs of diffusers, where that is allowed and diffusers is not there yet.

    Nothing is hidden afterwards: who imports transformers or compiles a module finds what there is. A version of
    diffusers that does not go along is left to be imported as a whole.
    """
    if not _allowed or "diffusers" in sys.modules:
        return
    try:
        with _hide():
            import diffusers.models.transformers.cogvideox_transformer_3d
            import diffusers.schedulers.scheduling_ddim_cogvideox
            import diffusers.schedulers.scheduling_dpm_cogvideox  # noqa: F401
    except Exception:
        log.debug("this diffusers is imported as a whole, which takes longer", exc_info=True)
        for name in [name for name in sys.modules if name.partition(".")[0] == "diffusers"]:
            del sys.modules[name]


@contextmanager
def _hide() -> Iterator[None]:
    stand_ins: dict[str, Any] = {**dict.fromkeys(HIDDEN), COMPILER: _make_compiler()}
    hidden = {name: module for name, module in stand_ins.items() if name not in sys.modules}
    sys.modules.update(hidden)
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def _make_compiler() -> ModuleType:
    """What diffusers marks its functions with for the compiler; the marks do nothing where nothing is compiled."""
    compiler = ModuleType(COMPILER)

    def mark(function: Any = None, *_: Any, **_options: Any) -> Any:
        return mark if function is None else function

    vars(compiler).update(allow_in_graph=mark, disable=mark)
    return compiler
