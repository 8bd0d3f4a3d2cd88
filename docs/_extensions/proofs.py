"""Names of tests in the text: short and small, with the whole path as the title of the element."""

import re
from collections import Counter
from typing import Final

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

_PROOF: Final = re.compile(r"tests/(?:\w+/)*(?P<file>\w+\.py)::(?P<name>\w+)")


class proof(nodes.literal):  # type: ignore[misc] # noqa: N801 - docutils: no types, lower case
    """The name of a test; `path` is its whole path."""


def shorten(_app: Sphinx, doctree: nodes.document) -> None:
    """Show a test by its name, with its file where two tests of a paragraph have one name.

    The cells of tables that hold nothing else are marked.
    """
    for text in doctree.findall(nodes.paragraph):
        found = [(it, _PROOF.fullmatch(it.astext())) for it in text.findall(nodes.literal)]
        names = Counter(match["name"] for _, match in found if match)
        for literal, match in found:
            if match:
                name = match["name"]
                shown = name if names[name] == 1 else f"{match['file']}::{name}"
                literal.replace_self(proof("", shown, path=match[0]))
    for entry in doctree.findall(nodes.entry):
        if any(entry.findall(proof)) and not _said_beside(entry):
            entry["classes"].append("proofs")


def _said_beside(entry: nodes.entry) -> str:
    """Return the text of a cell without the names of tests and what separates them."""
    texts = (it for it in entry.findall(nodes.Text) if not isinstance(it.parent, proof))
    return "".join(texts).strip(" ,;\n")


def visit(writer: HTML5Translator, node: proof) -> None:
    """Write the name so that it can break after each underscore."""
    name = writer.encode(node.astext()).replace("_", "_<wbr>")
    writer.body.append(writer.starttag(node, "code", "", CLASS="proof", title=node["path"]))
    writer.body.append(f"{name}</code>")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the node and the rule."""
    app.add_node(proof, html=(visit, None))
    app.connect("doctree-read", shorten)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
