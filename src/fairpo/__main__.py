"""``python -m fairpo``: the command line."""

from fairpo.cli import main

if __name__ == "__main__":  # processes of a study import this file again
    main()
