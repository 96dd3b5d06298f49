"""Running a study on this machine: processes, devices, search, interruption and resume."""
