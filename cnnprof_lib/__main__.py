"""``python -m cnnprof_lib`` is the command ``cnnprof``."""

from .cli import main

if __name__ == "__main__":
    main()
