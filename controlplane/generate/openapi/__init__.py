"""OpenAPI 3 documents: `document` reads the text, `schemas` the types, `operations` the calls."""
