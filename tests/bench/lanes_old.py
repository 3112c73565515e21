"""The same, of a version that speaks other lines."""

from tests.bench.lanes import main

main(protocol=0)
