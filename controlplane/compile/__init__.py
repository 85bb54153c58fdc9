"""ArchConfig -> filter contract, Envoy plan, model plan. Pure: no file, no socket, no clock."""
