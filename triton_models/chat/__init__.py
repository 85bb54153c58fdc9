"""A small chat model, for the quick start and the tests."""
