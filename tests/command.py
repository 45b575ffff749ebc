"""The command line in this process: what a user types, without three seconds of imports a line."""

import contextlib
import io
import subprocess
import sys
import warnings

from fairpo.cli import main


def fairpo(*words, cwd=None):
    """Run a command; its exit code and what it printed, as of a process of its own."""
    out, err = io.StringIO(), io.StringIO()
    argv, shown = sys.argv, warnings.showwarning
    sys.argv = ["fairpo", *map(str, words)]
    code = 0
    try:
        with (
            contextlib.chdir(cwd or "."),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("default")
            main()
    except SystemExit as end:
        code = end.code or 0
    finally:
        sys.argv, warnings.showwarning = argv, shown
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())
