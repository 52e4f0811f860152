"""`cdc bench`: the same workload through the servers of the configuration, measured, with the bottleneck named.

Everything that a run makes has names of its own (`names.py`), is made by the services themselves as the wiring puts
them together (`settings.py` gives them their configuration), and is removed at the end in every case (`clean.py`).
`drain.py` and `latency.py` measure, `verdict.py` judges, `report.py` tells.
"""
