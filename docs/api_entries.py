"""Sphinx extension: the reference as nbdev's users write it.

A comment next to a parameter (docments) becomes the parameter's description. Docstrings are read as Markdown: single
backticks mean code, a star is a star. `load_data` in prose links to the entry of `load_data`, if it has one.
"""

import dataclasses
import re

from docutils import nodes
from fastcore.docments import docments
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.nodes import make_refnode

CODE_OR_EMPHASIS = r"(``.+?``|`[^`]+`|(?<![\w-])--[a-z][\w-]*|\*{1,2}(?=\S)[^*\n]*?(?<=\S)\*{1,2})"
LINKED_BY_SHORT_NAME = ("function", "class", "exception", "method", "property")


def to_rst(
    text: str,  # a docstring or a docment
) -> str:
    "Convert inline Markdown to reStructuredText. Flags of the command become code, else `--` becomes a dash"
    parts = re.split(CODE_OR_EMPHASIS, text, flags=re.DOTALL)
    parts[::2] = [re.sub(r"(?<!^)([*|]|(?<=\w)_(?!\w))", r"\\\1", part, flags=re.MULTILINE) for part in parts[::2]]
    parts[1::2] = [rf"\ ``{part.strip('`')}``\ " if part[0] in "`-" else part for part in parts[1::2]]
    return "".join(parts)


def add_docments(app, what, name, obj, options, lines):
    "Convert a docstring from Markdown and add the descriptions of the parameters"
    if not (getattr(obj, "__module__", None) or app.config.project).startswith(app.config.project):
        return  # autodoc also passes what a module imports
    lines[:] = to_rst("\n".join(lines)).split("\n")
    for parameter, text in read_descriptions(obj).items():
        field = "returns" if parameter == "return" else f"param {parameter}"
        lines.append(f":{field}: {to_rst(' '.join(text.split()))}")


def read_descriptions(
    obj,  # a documented function, class or exception
) -> dict[str, str]:
    "Return parameter -> the comment next to it, or the `help` of a dataclass field"
    if dataclasses.is_dataclass(obj) and any("help" in field.metadata for field in dataclasses.fields(obj)):
        return {field.name: field.metadata["help"] for field in dataclasses.fields(obj) if "help" in field.metadata}
    inherits = isinstance(obj, type) and not dataclasses.is_dataclass(obj) and "__init__" not in vars(obj)
    if inherits or not callable(obj):
        return {}
    return {
        name: parameter.docment
        for name, parameter in docments(obj, full=True, args_kwargs=True).items()
        if parameter.docment
    }


def replace_factories(app, what, name, obj, options, signature, return_annotation):
    "Replace `<factory>`, which dataclasses write for a default of theirs: Sphinx cannot parse it as Python"
    return (signature.replace("<factory>", "..."), return_annotation) if signature else None


class LinkNames(SphinxPostTransform):
    "Turns code in prose into a link if it is the name of an entry"

    default_priority = 5

    def run(self, **kwargs):
        entries = collect_entries(self.env.domains.python_domain)
        for literal in list(self.document.findall(nodes.literal)):
            entry = entries.get(literal.astext().removesuffix("()"))
            if entry and not is_inside_link(literal):
                full_name, page, anchor = entry
                reference = make_refnode(
                    self.app.builder, self.env.docname, page, anchor, literal.deepcopy(), full_name
                )
                literal.replace_self(reference)


def is_inside_link(node: nodes.Node) -> bool:
    "Return whether a node is part of a link or of a heading"
    while node := node.parent:
        if isinstance(node, nodes.reference | nodes.title):
            return True
    return False


def collect_entries(domain) -> dict[str, tuple[str, str, str] | None]:
    "Return name in prose -> (full name, page, anchor), or None if two entries share the name"
    names = {}
    for full_name, entry in domain.objects.items():
        if entry.objtype not in LINKED_BY_SHORT_NAME or entry.aliased:
            continue
        for name in list_forms(full_name, entry):
            names[name] = None if name in names else (full_name, entry.docname, entry.node_id)
    return names


def list_forms(full_name: str, entry) -> set[str]:
    """Return how prose may write a name: `load_data`, `data.load_data`, `ftkit.data.load_data`.

    Functions of modules without a notebook need the name of their module.
    """
    parts = full_name.split(".")
    own = 2 if entry.objtype in ("method", "property") else 1
    short = [] if entry.docname.startswith("api/") and entry.objtype == "function" else [".".join(parts[-own:])]
    return {*short, ".".join(parts[-own - 1 :]), full_name}


def setup(app):
    "Register the extension in Sphinx"
    app.connect("autodoc-process-docstring", add_docments)
    app.connect("autodoc-process-signature", replace_factories)
    app.add_post_transform(LinkNames)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
