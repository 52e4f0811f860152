"""The command line: one file per command (group); `session.py` holds what they share. Imports no driver."""
