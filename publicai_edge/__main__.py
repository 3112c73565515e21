"""``python -m publicai_edge`` is the command line."""

from publicai_edge.cli.main import main

if __name__ == "__main__":
    main()
