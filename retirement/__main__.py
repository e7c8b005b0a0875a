"""`python -m retirement` is the console script."""

from retirement.cli import main

main()
