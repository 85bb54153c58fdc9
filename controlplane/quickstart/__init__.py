"""The demonstration of `archgw up --quick-start`."""
