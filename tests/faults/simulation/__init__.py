"""Deterministic simulation: the real loops on servers that misbehave, stepped by a seeded scheduler.

Nothing is a thread here and nothing sleeps. Every loop of the product runs in a greenlet; whenever it waits (for a
lock, an event, an answer) the scheduler picks who goes on, by a virtual clock and a seeded random source. The same
seed gives the same run, to the last step.
"""
