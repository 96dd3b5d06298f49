"""What genloss costs: one file a benchmark, and one command for all, `python -m tests.benchmarks`."""
