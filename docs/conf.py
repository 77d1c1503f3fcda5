"""How Sphinx builds the site from `docs/`: `make docs`."""

import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent))

from tools.docs import site  # noqa: E402
from tools.docs.public_names import type_variables  # noqa: E402

project = "cwinference"
author = "The cwinference authors"
copyright = author  # noqa: A001 - without a year, so that the same sources make the same site
version = release = site.version()

extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence", "html_image"]
myst_heading_anchors = 4
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", name) for name in (*site.FOREIGN_NAMES, *type_variables())
]

add_module_names = False
toc_object_entries_show_parents = "hide"
smartquotes = False
python_maximum_signature_line_length = 88

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_title = f"cwinference {version}"
html_copy_source = False
html_show_sphinx = False
html_last_updated_fmt = None
html_permalinks_icon = "#"


def setup(app: site.App) -> None:
    """Let Sphinx read pages as the site has them.

    They have toctrees, included files and the Python reference; the sidebar has the
    groups of the how-to guides.
    """
    app.connect("source-read", site.prepare)
    app.connect("html-page-context", site.group_guides, priority=900)  # after the theme
