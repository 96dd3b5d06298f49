"""Planning: an experiment checked against the catalogue, tried on a few examples, and laid out as runs."""
