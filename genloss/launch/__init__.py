"""Training a study on this machine: its folder, its worker processes, its interruption, its end."""
