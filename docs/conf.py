"Sphinx's configuration. A page loads nothing from other sites: no CDN, no web font, no counter."

import sys
import tomllib
from pathlib import Path

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
sys.path[:0] = [
    str(ROOT),
    str(DOCS),
]  # the package of this checkout, not the installed one; the extensions in this folder
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

project = PROJECT["name"]
author = PROJECT["authors"][0]["name"]
copyright = author
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "api_entries",
    "mathml",
]
exclude_patterns = ["_redirects"]

nb_execution_mode = "off"
nb_merge_streams = True
nb_ipywidgets_js = {}  # notebooks are committed without widget state
myst_enable_extensions = ["dollarmath", "colon_fence", "attrs_block", "deflist", "tasklist"]
myst_heading_anchors = 4

autoclass_content = "both"
autodoc_inherit_docstrings = False  # Transformers writes its docstrings in another markup
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
default_role = "py:obj"
html_math_renderer = "mathml"
maximum_signature_line_length = 90
toc_object_entries_show_parents = "hide"

html_title = project
html_favicon = "_static/icon.svg"
html_context = {"default_mode": "auto"}
html_baseurl = PROJECT["urls"]["Documentation"]
html_theme = "sphinx_book_theme"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_extra_path = ["../_site_src/_redirects"]
html_copy_source = False
html_theme_options = {
    "repository_url": PROJECT["urls"]["Repository"],
    "repository_branch": "main",
    "path_to_docs": "nbs",
    "launch_buttons": {"colab_url": "https://colab.research.google.com"},
    "use_repository_button": True,
    "use_source_button": False,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "home_page_in_toc": True,
    "show_toc_level": 2,
    "navbar_persistent": [],  # the default would add a second search field
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
