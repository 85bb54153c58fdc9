"""On the request path: the Envoy ext_proc service that reads each prompt. Knows nothing of the control plane."""
