"""Write what is made from the sources into the pages of `docs/`, and the dashboard for Grafana: `make reference`."""

from .made import write

if __name__ == "__main__":
    write()
