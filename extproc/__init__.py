"""The Envoy ext_proc service: it reads each request and decides on it. Independent of the control plane."""
