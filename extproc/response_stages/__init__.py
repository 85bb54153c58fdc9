"""The stages of a response on its way back to the client, in order."""
