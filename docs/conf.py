"""Settings of the manual, which `make docs` builds with Sphinx.

What is made for it (the pages of the reference, the notebooks' copies, the links of
names in code) is in pages.py, and how docstrings are read in docstrings.py.
"""

import sys
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

project = "lenetjax"
author = "the lenetjax authors"
project_copyright = author
release = metadata.version("lenetjax")

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon"]
extensions += ["myst_nb", "docstrings", "pages"]
exclude_patterns = ["_build"]
smartquotes_action = "D"  # dashes alone: code has straight quotes

# The notebooks are shown as they were run.
nb_execution_mode = "off"
myst_heading_anchors = 3

# Single backticks in a docstring are code, and a link where they name something.
default_role = "py:obj"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 79
napoleon_use_ivar = True
napoleon_use_rtype = False
napoleon_custom_sections = [("Fields", "params_style")]

# Every reference must lead somewhere, but for the types in signatures: some are of
# other libraries, whose pages are in the network, and some are not public.
nitpicky = True
nitpick_ignore_regex = [("py:(obj|class|data|exc)", ".*")]

html_theme = "furo"
html_title = f"lenetjax {release}"
html_show_copyright = False
html_copy_source = False
html_show_sourcelink = False
html_static_path = ["static"]
html_css_files = ["manual.css"]
