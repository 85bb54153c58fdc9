"""ArchConfig -> filter configuration, Envoy plan, model plan. Pure: no file, no socket, no clock."""
