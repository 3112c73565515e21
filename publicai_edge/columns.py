"""Tables in plain text, for what goes to stdout and into files."""

from collections.abc import Collection, Sequence


def lines(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """Return the rows as lines, two spaces between the columns.

    Args:
        rows: of equal length, the head first.
        right: columns, from 0, whose cells end in line.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(_cell(row, place, widths, right) for place in range(len(row))).rstrip() for row in rows]


def _cell(row: Sequence[str], place: int, widths: Sequence[int], right: Collection[int]) -> str:
    return row[place].rjust(widths[place]) if place in right else row[place].ljust(widths[place])
