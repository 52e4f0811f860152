"""Benchmarks on real servers: they report and judge nothing. `python -m tests.bench --quick` takes three minutes."""
