"""How Sphinx builds the site: `make docs`."""

import os
import re
import sys
from pathlib import Path

from pygments.lexers import PostgresLexer
from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from pgsession import __version__  # noqa: E402 - its folder is on the path only now

project = "pgsession"
author = "The pgsession authors"
project_copyright = "The pgsession authors"
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx_click",
    "sphinx_copybutton",
    "sphinx_design",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]

# A name that no page defines, such as one of the standard library, is shown as code without a link.
default_role = "py:obj"
nitpicky = True
nitpick_ignore_regex = [("py:.*", ".*")]

myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist"]
# Headings have the anchors that GitHub gives them.
myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80

copybutton_prompt_text = r"\$ "
copybutton_prompt_is_regexp = True

html_theme = "pydata_sphinx_theme"
html_title = "pgsession"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_theme_options = {
    "header_links_before_dropdown": 8,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": True,
    "use_edit_page_button": False,
}


#: The pages that show a file of the repository.
SHOWN = {
    "CHANGELOG.md": "docs/project/changelog.md",
    "CODE_OF_CONDUCT.md": "docs/project/code-of-conduct.md",
    "CONTRIBUTING.md": "docs/project/contributing.md",
    "README.md": "docs/index.md",
    "SECURITY.md": "docs/security/reporting.md",
    "benchmarks/README.md": "docs/project/benchmarks.md",
    "benchmarks/results/results.md": "docs/project/benchmark-results.md",
}

_LINK = re.compile(r"(\]\()(?![a-z]+:|#)([^)#]+)")


def lead_from_page(app: Sphinx, path: Path, _page: str, content: list[str]) -> None:
    """Make the links of a file of the repository lead from the page that shows it."""
    file = Path(os.path.normpath(app.srcdir / path))
    page = SHOWN.get(file.relative_to(ROOT).as_posix())
    if page is None:
        return

    def lead(match: re.Match[str]) -> str:
        target = Path(os.path.normpath(file.parent / match[2]))
        shown = SHOWN.get(target.relative_to(ROOT).as_posix())
        return match[1] + os.path.relpath(ROOT / shown if shown else target, (ROOT / page).parent)

    content[0] = _LINK.sub(lead, content[0])


def setup(app: Sphinx) -> None:
    """Read SQL as PostgreSQL does, with its dollar quotes and parameters."""
    app.add_lexer("sql", PostgresLexer)
    app.connect("include-read", lead_from_page)
