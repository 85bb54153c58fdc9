"""Benchmarks of the gateway beside plain Envoy and LiteLLM, on one machine, in one run: `make bench`."""
