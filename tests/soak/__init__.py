"""The soak: a mixed load with faults for many minutes, in which nothing may grow and nothing may come out wrong."""
