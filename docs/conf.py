"""How Sphinx builds the site: `make docs`."""

import os
import re
import sys
import tomllib
from pathlib import Path

from docutils import nodes
from pygments.lexers import PostgresLexer
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util import logging

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
    "sphinx_copybutton",
    "sphinx_design",
    "docs._extensions.proofs",
    "docs._extensions.reference",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]

# In a docstring `name` is a name; docs/_extensions/reference.py says which names need no page.
default_role = "py:obj"
nitpicky = True

myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist", "substitution"]
myst_substitutions = {"version": __version__}
# Headings have the anchors that GitHub gives them.
myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
# Types that the reference describes on their own, or that Starlette does.
autodoc_type_aliases = {
    **{name: f"starlette.types.{name}" for name in ("ASGIApp", "Receive", "Scope", "Send")},
    **{name: name for name in ("Exclude", "OnUnavailable", "SecretKey", "Source")},
}
add_module_names = False
toc_object_entries_show_parents = "hide"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80

copybutton_prompt_text = r"\$ "
copybutton_prompt_is_regexp = True

html_theme = "pydata_sphinx_theme"
html_title = "pgsession"
html_favicon = "_static/logo.svg"
html_static_path = ["_static"]
templates_path = ["_templates"]
html_css_files = ["site.css"]
html_js_files = [("scrolling.js", {"defer": "defer"})]
html_search_scorer = str(ROOT / "docs/search.js")
# Pages without a section have no menu of one.
html_sidebars: dict[str, list[str]] = {"install": [], "troubleshooting": []}
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {
        "image_light": "_static/logo.svg",
        "image_dark": "_static/logo.svg",
        "text": "pgsession",
    },
    "navbar_align": "left",
    "header_links_before_dropdown": 9,
    "search_bar_text": "Search",
    "search_as_you_type": True,
    "navigation_with_keys": False,
    "primary_sidebar_end": [],
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
    "show_prev_next": True,
    "use_edit_page_button": False,
}

#: What readers type into the search, and the places that answer it.
search_words = tomllib.loads(Path(__file__).with_name("search.toml").read_text(encoding="utf-8"))


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

_LOG = logging.getLogger(__name__)
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


def lead_from_words(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Put the words of search.toml that lead to a page into the index of the search."""
    slugs = {section.get("slug"): section["ids"][0] for section in doctree.findall(nodes.section)}
    for word, places in app.config.search_words.items():
        for name, _, slug in (place.partition("#") for place in places):
            if name != page:
                continue
            if slug and slug not in slugs:
                _LOG.warning("search.toml: %r has no heading #%s", name, slug)
            entry = ("single", word, slugs.get(slug, ""), "main", None)
            doctree.append(addnodes.index(entries=[entry]))


def check_words(app: Sphinx) -> None:
    """Report the words of search.toml that lead to a page which does not exist."""
    for word, places in app.config.search_words.items():
        for place in places:
            if place.partition("#")[0] not in app.env.found_docs:
                _LOG.warning("search.toml: %r leads to %r, which is no page", word, place)


def show_versions(app: Sphinx, config: Config) -> None:
    """Give the pages that publish.py builds a list of versions, and a banner unless stable."""
    if app.tags.has("published"):
        config.html_theme_options |= {
            "check_switcher": False,  # the list is not written yet
            "navbar_end": ["version-switcher", "theme-switcher"],
            "show_version_warning_banner": True,
            "switcher": {"json_url": "../switcher.json", "version_match": config.release},
        }


def setup(app: Sphinx) -> None:
    """Connect what this file adds; SQL is read as PostgreSQL does, with its dollar quotes."""
    app.add_lexer("sql", PostgresLexer)
    app.add_config_value("search_words", {}, "env")
    app.connect("config-inited", show_versions, priority=400)  # before the theme reads its options
    app.connect("include-read", lead_from_page)
    app.connect("env-updated", lambda app, _env: check_words(app))
    app.connect("doctree-resolved", lead_from_words)
