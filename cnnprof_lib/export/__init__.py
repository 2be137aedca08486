"""An executed notebook as a page for the browser and as pages for paper.

Both are made of the same HTML: `pictures` takes the figures out, `page` gives headings, figures and tables their
ids and numbers, `html` and `pdf` put the two together. They are exporters of nbconvert, ``cnnprof-html`` and
``cnnprof-pdf``, with underscores in JupyterLab's menu.
"""
