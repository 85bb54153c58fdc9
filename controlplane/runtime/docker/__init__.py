"""The gateway as containers: the Docker engine, the images, the compose file, and the runner that starts it."""
