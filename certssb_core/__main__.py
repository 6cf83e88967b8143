"""``python -m certssb_core``: the command line."""

from certssb_core.cli import main

if __name__ == "__main__":
    main()
