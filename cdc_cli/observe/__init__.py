"""What an operator sees: structured logs, counters, health, and an alert when a worker gives up."""
