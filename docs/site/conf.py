"""Sphinx's settings for the site. `python docs/site/build.py` lays out the pages and calls Sphinx with them."""

project = "scratchgan"
copyright = "the scratchgan authors, MIT licence"
extensions = ["myst_parser", "sphinx.ext.mathjax"]
root_doc = "index"

# The same Markdown as GitHub's: $ for mathematics in a line, a fence for equations, its names of headings.
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_fence_as_directive = {"math"}
myst_heading_anchors = 4
myst_links_external_new_tab = False
highlight_language = "text"
smartquotes = False  # "..." in a shape is what one types

html_theme = "furo"
html_title = "scratchgan"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
mathjax_path = "tex-svg.js"  # one file that draws with paths: neither a font nor the network is needed (build.py)
mathjax3_config = {"svg": {"fontCache": "local"}, "options": {"enableMenu": False}}
