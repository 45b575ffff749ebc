"""``python -m fairpo``: the command line."""

from fairpo.cli import main

main()
