"""``python -m publicai_edge`` is the command line, and so is the installed program.

It is imported before anything that takes time, so that Ctrl-C is answered in words from the beginning.
"""

from publicai_edge.cli import interrupts


def main() -> None:
    """Run the command line."""
    interrupts.end_at_once()
    from publicai_edge.cli.entry import main as run

    run()


if __name__ == "__main__":
    main()
