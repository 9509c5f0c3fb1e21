"""The benchmarks behind tests/bench/run, a module for each concern."""
