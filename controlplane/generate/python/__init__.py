"""Python sources, read as syntax trees: names, types, models, routes; `fastapi` and `flask` make operations of them."""
