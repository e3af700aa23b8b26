"Sphinx extension: formulas as MathML, which every browser draws by itself. docutils brings the converter; MathJax is not needed."

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

logger = logging.getLogger(__name__)


def converted(node: nodes.Element, as_block: bool) -> str:
    "A formula as MathML; what the converter does not know is a warning, and so an error under -W"
    try:
        return tex2mathml(node.astext(), as_block=as_block)
    except MathError as error:
        logger.warning("formula %r: %s", node.astext(), error, location=node, type="mathml")
        return ""


def visit_inline(self, node: nodes.math):
    self.body.append(converted(node, as_block=False))
    raise nodes.SkipNode


def visit_block(self, node: nodes.math_block):
    self.body.append(f'<div class="formula">{converted(node, as_block=True)}</div>\n')
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
