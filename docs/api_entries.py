"""Sphinx extension: the reference as nbdev's users write it.

A comment beside a parameter (docments) becomes the parameter's description. Docstrings are read as Markdown is: single backticks
mean code, a star is a star. And `load_data` in prose leads to the entry of `load_data`, if it has one.
"""

import dataclasses
import re

from docutils import nodes
from fastcore.docments import docments
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.nodes import make_refnode

CODE_OR_EMPHASIS = r"(``.+?``|`[^`]+`|(?<![\w-])--[a-z][\w-]*|\*{1,2}(?=\S)[^*\n]*?(?<=\S)\*{1,2})"
LINKED_BY_SHORT_NAME = ("function", "class", "exception", "method", "property")


def as_rst(
    text: str,  # a docstring or a docment
) -> str:
    "Markdown's inline markup as reStructuredText's; a flag of the command is code, or its hyphens would become a dash"
    parts = re.split(CODE_OR_EMPHASIS, text, flags=re.DOTALL)
    parts[::2] = [re.sub(r"(?<!^)([*|]|(?<=\w)_(?!\w))", r"\\\1", part, flags=re.MULTILINE) for part in parts[::2]]
    parts[1::2] = [rf"\ ``{part.strip('`')}``\ " if part[0] in "`-" else part for part in parts[1::2]]
    return "".join(parts)


def add_docments(app, what, name, obj, options, lines):
    "Read a docstring as Markdown and add what the comments beside the parameters say"
    if not (getattr(obj, "__module__", None) or app.config.project).startswith(app.config.project):
        return  # autodoc also asks about what a module imports
    lines[:] = as_rst("\n".join(lines)).split("\n")
    for parameter, text in descriptions(obj).items():
        field = "returns" if parameter == "return" else f"param {parameter}"
        lines.append(f":{field}: {as_rst(' '.join(text.split()))}")


def descriptions(
    obj,  # what is documented
) -> dict[str, str]:
    "Parameter -> what the comment beside it says, or what the field of a dataclass says as its `help`"
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


def without_factories(app, what, name, obj, options, signature, return_annotation):
    "`<factory>`, as dataclasses write a default that is made anew, is not Python: Sphinx could not read the signature"
    return (signature.replace("<factory>", "..."), return_annotation) if signature else None


class LinkNames(SphinxPostTransform):
    "Turns code in prose that is the name of an entry into a link to it"

    default_priority = 5

    def run(self, **kwargs):
        entries = linkable_names(self.env.domains.python_domain)
        for literal in list(self.document.findall(nodes.literal)):
            entry = entries.get(literal.astext().removesuffix("()"))
            if entry and not inside_link(literal):
                full_name, page, anchor = entry
                reference = make_refnode(
                    self.app.builder, self.env.docname, page, anchor, literal.deepcopy(), full_name
                )
                literal.replace_self(reference)


def inside_link(node: nodes.Node) -> bool:
    "Whether a node is part of a link or of a heading"
    while node := node.parent:
        if isinstance(node, nodes.reference | nodes.title):
            return True
    return False


def linkable_names(domain) -> dict[str, tuple[str, str, str] | None]:
    "Name as prose writes it -> (full name, page, anchor); None where two entries share it"
    names = {}
    for full_name, entry in domain.objects.items():
        if entry.objtype not in LINKED_BY_SHORT_NAME or entry.aliased:
            continue
        for name in written_forms(full_name, entry):
            names[name] = None if name in names else (full_name, entry.docname, entry.node_id)
    return names


def written_forms(full_name: str, entry) -> set[str]:
    "How prose may write a name: `load_data`, `data.load_data`, `ftkit.data.load_data`; plumbing's functions only with their module"
    parts = full_name.split(".")
    own = 2 if entry.objtype in ("method", "property") else 1
    short = [] if entry.docname.startswith("api/") and entry.objtype == "function" else [".".join(parts[-own:])]
    return {*short, ".".join(parts[-own - 1 :]), full_name}


def setup(app):
    app.connect("autodoc-process-docstring", add_docments)
    app.connect("autodoc-process-signature", without_factories)
    app.add_post_transform(LinkNames)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
