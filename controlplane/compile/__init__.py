"""Compiles ArchConfig into filter configuration, Envoy plan and model plan. Pure: no files, no sockets, no clock."""
