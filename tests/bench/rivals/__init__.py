"""Ours beside the connectors of others in Kafka Connect: `python -m tests.bench.rivals --help`."""
