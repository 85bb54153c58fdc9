"""What happens to a response on its way back: an ordered list of stages."""
