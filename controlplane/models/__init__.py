"""The catalogue of models, and the cache of their files: downloads, verification, conversion."""
