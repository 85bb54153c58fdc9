"""Natural language inference: the probability that a text entails another."""
