"Sphinx extension: formulas as MathML, which browsers render without MathJax. The converter is that of docutils."

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

logger = logging.getLogger(__name__)


def convert_formula(node: nodes.Element, as_block: bool) -> str:
    "Return a formula as MathML. Warns if the converter fails; `-W` turns that into an error"
    try:
        return tex2mathml(node.astext(), as_block=as_block)
    except MathError as error:
        logger.warning("formula %r: %s", node.astext(), error, location=node, type="mathml")
        return ""


def visit_inline(self, node: nodes.math):
    "Write an inline formula"
    self.body.append(convert_formula(node, as_block=False))
    raise nodes.SkipNode


def visit_block(self, node: nodes.math_block):
    "Write a displayed formula"
    self.body.append(f'<div class="formula">{convert_formula(node, as_block=True)}</div>\n')
    raise nodes.SkipNode


def setup(app):
    "Register the extension in Sphinx"
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
