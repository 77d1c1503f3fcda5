"""The soak test: a mixed load with faults for many minutes, in which nothing may grow and no result may be wrong."""
