"""What a newcomer sees first: `archgw up --quick-start`."""
