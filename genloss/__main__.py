"""`python -m genloss` is `genloss`."""

from genloss.commands import main

main()
