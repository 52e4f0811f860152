"""Proof under faults: invariants as checkers, a simulation without servers, and re-injected bugs (README.md beside this)."""
