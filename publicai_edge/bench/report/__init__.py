"""What a benchmark and a comparison look like: in a terminal, as a page, for CI."""
