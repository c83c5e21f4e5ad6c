"""How Sphinx builds the documentation: `make docs`, without network."""

from __future__ import annotations

import sys
from pathlib import Path

import skmeta

project = "skmeta"
author = "The skmeta developers"
copyright = author
version = release = skmeta.__version__

sys.path.insert(0, str(Path(__file__).parent))  # for _site

extensions = [
    "matplotlib.sphinxext.plot_directive",
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_gallery.gen_gallery",
    "_site",
]
exclude_patterns = ["_build", "charts", "gallery/*.ipynb", "gallery/*.py"]
templates_path = ["_templates"]
default_role = "autolink"  # `fit` in a docstring: a link if it is a name that the site has

html_theme = "pydata_sphinx_theme"
html_title = "skmeta"
html_show_sourcelink = False
html_theme_options = {
    "show_prev_next": True,
    "navigation_with_keys": False,
    "header_links_before_dropdown": 5,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
_alone = ("index", "getting_started", "which_learner", "faq", "glossary", "changelog")
html_sidebars = {page: [] for page in _alone}  # pages without others below them
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 120

autosummary_generate = True
autosummary_generate_overwrite = True
autodoc_typehints = "none"  # numpydoc says what parameters are
numpydoc_show_class_members = False  # the template lists them
numpydoc_xref_param_type = False

plot_include_source = False
plot_html_show_source_link = False
plot_html_show_formats = False
plot_formats = [("svg", 100)]
plot_working_directory = str(Path(__file__).parent)


sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",
    "within_subsection_order": "FileNameSortKey",
    "doc_module": ("skmeta",),
    "backreferences_dir": None,
    "reset_modules": ("matplotlib", "_site.warnings_are_errors"),
    "reset_modules_order": "both",
    "show_signature": False,
    "write_computation_times": False,
    "download_all_examples": False,
    "min_reported_time": 0,
    "parallel": 2,
}

nitpick_ignore_regex = [
    ("py:.*", r"(sklearn|skorch|torch|numpy|scipy|matplotlib|pandas)\..*"),
    ("py:obj", r".*"),  # what the default role does not find is a parameter
]
