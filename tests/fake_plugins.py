"""Sources of plugins, good and broken."""

HEAD = """
import genloss
from jaxtyping import Float
from torch import Tensor

loss = genloss.loss(family="test", unit="1", source="a test")
Values = Float[Tensor, "batch"]

@loss
def negated(x: Values) -> Values:
    return -x

@loss
def doubled(x: Values) -> Values:
    return 2 * x
"""

GOOD = (
    HEAD
    + """
@genloss.hookimpl
def genloss_losses():
    yield negated
    yield doubled
"""
)


def hook(kind: str, *lines: str) -> str:
    """The source of a hook."""
    body = "".join(f"    {line}\n" for line in lines)
    return f"\nimport genloss\n\n@genloss.hookimpl\ndef genloss_{kind}():\n{body}"


MODEL = "class Negated(genloss.Model):\n    name = {name!r}\n"

BROKEN = {
    "import error": (
        "import no_such_module",
        "ModuleNotFoundError: No module named 'no_such_module' (acme_losses.py, line 1)",
    ),
    "syntax error": ("def genloss_losses(:", "SyntaxError: invalid syntax (acme_losses.py, line 1)"),
    "exit at import": (
        "import sys\nsys.exit('bye')",
        "SystemExit: bye (acme_losses.py, line 2)",
    ),
    "exit without a word": ("raise SystemExit", "SystemExit (acme_losses.py, line 1)"),
    "message of several lines": (
        "raise RuntimeError('one\\n\\n  two')",
        "RuntimeError: one two (acme_losses.py, line 1)",
    ),
    "exception in a hook": (
        hook("models", "raise ValueError('planted')"),
        "ValueError: planted (acme_losses.py, line 6)",
    ),
    "exception in what a hook calls": (
        "def read():\n    return {}['planted']\n" + hook("models", "read()", "yield 1"),
        "KeyError: 'planted' (acme_losses.py, line 2)",
    ),
    "exit in a hook": (hook("models", "raise SystemExit(3)"), "SystemExit: 3 (acme_losses.py, line 6)"),
    "hook that raises half-way": (
        HEAD + hook("losses", "yield negated", "raise ValueError('half-way')"),
        "ValueError: half-way (acme_losses.py, line 22)",
    ),
    "second hook that raises": (
        GOOD + hook("metrics", "raise ValueError('too late')"),
        "ValueError: too late (acme_losses.py, line 26)",
    ),
    "misspelt hook": (HEAD + hook("loses", "yield negated"), "`genloss_loses` is not a hook of genloss"),
    "misspelt hook without decorator": (
        "def genloss_modles():\n    yield 1",
        "`genloss_modles` is not a hook of genloss",
    ),
    "misspelt prefix": (
        "import genloss\n@genloss.hookimpl\ndef genlos_losses():\n    yield 1",
        "PluginValidationError: unknown hook 'genlos_losses' in plugin <module 'acme_losses' from",
    ),
    "hook without decorator": (
        HEAD + "def genloss_losses():\n    yield negated",
        "`genloss_losses` is not decorated with `@genloss.hookimpl`",
    ),
    "hook that is not a function": (
        HEAD + "genloss_losses = [negated]",
        "`genloss_losses` is not decorated with `@genloss.hookimpl`",
    ),
    "hook with an argument": (
        "import genloss\n@genloss.hookimpl\ndef genloss_losses(config):\n    yield 1",
        "PluginValidationError: Plugin 'acme_losses' for hook 'genloss_losses'",
    ),
    "function in place of a loss": (
        hook("losses", "yield len"),
        "`genloss_losses` yields <built-in function len>, which was not made by `@genloss.loss`",
    ),
    "loss in place of a metric": (
        HEAD + hook("metrics", "yield negated"),
        "`genloss_metrics` yields <loss negated>, which was not made by `@genloss.metric`",
    ),
    "loss in place of a dataset": (
        HEAD + hook("datasets", "yield negated"),
        "`genloss_datasets` yields <loss negated>, which was not made by `@genloss.dataset`",
    ),
    "loss in place of a model": (
        HEAD + hook("models", "yield negated"),
        "<loss negated> is not a subclass of `genloss.Model`",
    ),
    "hook that returns nothing": (
        HEAD + hook("losses", "negated"),
        "`genloss_losses` returns nothing, and should return losses",
    ),
    "hook that returns no list": (
        HEAD + hook("losses", "return negated"),
        "`genloss_losses` returns <loss negated>, and should return losses",
    ),
    "hook that returns a name": (
        HEAD + hook("losses", "return 'negated'"),
        "`genloss_losses` returns 'negated', and should return losses",
    ),
    "hook that returns names and losses": (
        HEAD + hook("losses", "return {'negated': negated}"),
        "`genloss_losses` returns {'negated': <loss negated>}, and should return losses",
    ),
    "one name twice": (
        HEAD + hook("losses", "yield negated", "yield negated"),
        "it offers `negated` twice among its losses",
    ),
    "loss whose name is not an identifier": (
        HEAD + "genloss.loss(family='f', unit='1', source='s', name='my-loss')(negated.build().func)",
        "loss `my-loss` cannot bear that name",
    ),
    "model whose name is not an identifier": (
        "import genloss\n" + MODEL.format(name="my model") + hook("models", "yield Negated"),
        "model `my model` cannot bear that name",
    ),
    "model whose name is no text": (
        "import genloss\n" + MODEL.format(name=3) + hook("models", "yield Negated"),
        "model `3` cannot bear that name",
    ),
    "loss that breaks its contract": (
        HEAD + "@loss\ndef broken(x) -> Values: ...",
        "quantity `x` of loss `broken` has no type annotation",
    ),
    "loss with an option that no YAML can give": (
        HEAD + "@loss\ndef scaled(x: Values, *, scale: Tensor) -> Values: ...",
        "option `scale` of loss `scaled` has the type `Tensor`, which no YAML can give",
    ),
}
"""By what is wrong: the source of `acme_losses.py`, and the beginning of the cause that is told."""
