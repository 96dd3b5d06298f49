"""Planning: an experiment checked against the catalogue, tried in small, and laid out as runs."""
