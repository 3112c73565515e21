"""The same, a tenth slower."""

from tests.bench.lanes import main

main(0.9)
