"""The supervisor of a native gateway. It starts the services, restarts them when they end, and writes their logs.

Runs as `python -m controlplane.runtime.native.supervisor PLAN`, one per run directory. `client` starts it and talks to
it over a unix socket. To stay small, it imports only `service` from the rest of archgw.
"""
