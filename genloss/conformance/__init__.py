"""The conformance suite: what each kind of definition must do, checked on inputs drawn from its signature.

    suite      a check, and what comes of it
    losses     what a loss must do
    models     what a model must do
    datasets   what a dataset must do
    metrics    what a metric must do

A plugin's own tests run it:

    @pytest.mark.parametrize("check", checks(my_loss), ids=str)
    def test_conformance(check: Check) -> None:
        check.run()
"""

from genloss.conformance.suite import Check, Nonconformity

__all__ = ["Check", "Nonconformity"]
