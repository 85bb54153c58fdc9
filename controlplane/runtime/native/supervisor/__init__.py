"""The supervisor of a gateway of processes. It starts the services, starts them again when they die, writes their logs.

It runs as `python -m controlplane.runtime.native.supervisor PLAN`, one a run directory, and answers on a unix socket.
`client` starts it and asks it. It imports nothing of archgw but `service`, so that it stays small.
"""
