"""Generates prompt targets from an API's source code or OpenAPI document, for `archgw generate-prompt-targets`.

python/ (FastAPI, Flask) and openapi/ read a source into an `ApiDescription`; prompt_targets.py makes prompt targets of
it; config_yaml.py renders the text of a configuration. The user's code is neither executed nor imported.
"""
