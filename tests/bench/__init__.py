"""Benchmarks on real servers: they report, they judge nothing. `python -m tests.bench --quick` takes about three minutes."""
