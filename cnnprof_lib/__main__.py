"""``python -m cnnprof_lib`` is the command ``cnnprof``, which can be stopped before all of it is loaded."""

from __future__ import annotations

from .base.processes import stoppable


def main() -> None:
    """Runs the command line, see `cli.main`; stopped by Ctrl-C or SIGTERM it says so in a line."""
    with stoppable():
        from .app.cli import main

        main()


if __name__ == "__main__":
    main()
