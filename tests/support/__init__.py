"""Stand-ins for the world outside the gateway: an LLM provider and an application's API, on real sockets."""
