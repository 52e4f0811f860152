"""Proof under faults: invariants, simulation, mutants, crash matrix, the long run (README.md)."""
