"""An API's own description into prompt targets, for `archgw generate-prompt-targets`. Nothing is executed or imported.

python/ (FastAPI, Flask) and openapi/ -> `operations.Reading` -> `targets` -> `document`, the text of a configuration.
"""
