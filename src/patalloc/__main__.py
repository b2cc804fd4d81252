"""`python -m patalloc`: the command line."""

from patalloc.cli import main

main()
