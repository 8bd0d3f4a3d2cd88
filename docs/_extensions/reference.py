"""The reference: names lead to the page that describes them, and each setting has its facts.

Docstrings name things as readers write them: `Session.login`, `take`, `max_sessions`. A name is a
warning unless it is of this package, a parameter, or of a library that can be imported.
"""

import re
from typing import Final

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.domains.python import PythonDomain
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode

from docs._extensions.names import HANDED_OUT, candidates, is_known
from docs._extensions.settings import facts_of

#: Signatures whose types would be longer than the text.
SIGNATURES: Final = {
    "pgsession.Session.typed": ("(model, name=None, *, default=…)", None),
}


class Setting(SphinxDirective):
    """The facts of one setting: its variable, its default, its unit, since when it is there."""

    required_arguments = 1
    option_spec = {  # noqa: RUF012 - as docutils declares it
        "since": directives.unchanged_required,
        "unit": directives.unchanged_required,
        "rejected": directives.unchanged_required,
    }

    def run(self) -> list[nodes.Node]:
        """Return the facts as a list of fields, and make the name a target."""
        name = self.arguments[0]
        facts = facts_of(name) | {"Unit": self.options["unit"]}
        if "rejected" in self.options:
            facts["Rejected"] = self.options["rejected"]
        facts["Since"] = self.options["since"]
        target = nodes.target("", "", ids=[f"pgsession.SessionSettings.{name}"])
        domain = self.env.get_domain("py")
        if not isinstance(domain, PythonDomain):
            raise TypeError("The domain py is another one.")
        domain.note_object(target["ids"][0], "attribute", target["ids"][0], location=target)
        self.state.document.note_explicit_target(target)
        return [target, nodes.field_list("", *map(self._field, facts.items()), classes=["facts"])]

    def _field(self, fact: tuple[str, str]) -> nodes.field:
        label, text = fact
        body = nodes.paragraph()
        body += self.parse_inline(text)[0]
        return nodes.field("", nodes.field_name("", label), nodes.field_body("", body))


def resolve(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, shown: nodes.Element
) -> nodes.Element | None:
    """Lead from a name that Sphinx does not find to where it is described."""
    domain = env.get_domain("py")
    if node["refdomain"] != "py" or not isinstance(domain, PythonDomain):
        return None
    target, kind = node["reftarget"], node.get("py:class")
    for path in candidates(target, kind):
        if path in domain.objects:
            found = domain.objects[path]
            return make_refnode(
                app.builder, node["refdoc"], found.docname, found.node_id, shown, path
            )
    if not is_known(target, kind):
        return None
    return nodes.literal("", shown.astext()) if isinstance(shown, nodes.literal) else shown


#: What a function returns that ``contextlib`` makes a context manager of.
_ITERATOR: Final = re.compile(r"^~?[\w.]*?(Async|)Iterator\[")

#: What Sphinx makes of a default, or of a type, that no reader writes so.
_REWRITTEN: Final = (
    (re.compile(r"datetime\.(?=timedelta\()"), ""),
    (re.compile(r"<(?:function|object)[^>]*>"), "..."),
    (re.compile(r"[~\w.]*TypeAliasForwardRef\('([\w.]+)'\)"), r"\1"),
)


def shorten(
    _app: Sphinx,
    what: str,
    path: str,
    of: object,
    _options: object,
    signature: str | None,
    returned: str | None,
) -> tuple[str | None, str | None] | None:
    """Leave out what a reader does not write: the constructors of what is handed out."""
    if what == "exception" or path.rpartition(".")[2] in HANDED_OUT:
        return "", None
    if path in SIGNATURES:
        return SIGNATURES[path]
    if signature is None:
        return None
    for pattern, shorter in _REWRITTEN:
        signature = pattern.sub(shorter, signature)
    if returned is not None and hasattr(of, "__wrapped__"):
        returned = _ITERATOR.sub(r"~contextlib.Abstract\1ContextManager[", returned)
    return signature, returned


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive and the two rules."""
    app.add_directive("setting", Setting)
    app.connect("missing-reference", resolve)
    app.connect("autodoc-process-signature", shorten)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
