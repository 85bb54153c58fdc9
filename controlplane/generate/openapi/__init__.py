"""Reads OpenAPI 3 documents: document_loader.py loads, schemas.py reads types, openapi_reader.py reads operations."""
