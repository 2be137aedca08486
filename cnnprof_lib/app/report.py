"""Makes the report: its notebook executed, and pages of that."""

from __future__ import annotations

import copy
import io
from pathlib import Path

from ..base.errors import ReportError
from ..base.files import try_writing, write_atomically
from ..records.project import Project
from . import notebook, provenance


def render(project: Project) -> list[Path]:
    """Executes ``report.ipynb`` on the stored runs and writes ``report.html`` and, with the extra pdf, ``report.pdf``.

    Returns:
        The files written.

    Raises:
        ReportError: the notebook failed; the executed copy is named.
    """
    folder = project.store.report_dir
    try_writing(folder)
    executed = folder / "report.ipynb"
    read, made_by = provenance.inputs(project.store), provenance.sources(project)
    text, error = notebook.execute("report.ipynb", {}, project, io.StringIO())
    write_atomically(executed, text)
    if error is not None:
        raise ReportError(f"{executed}: {error}")
    written = export(executed)
    provenance.write(project, read, made_by, written)
    return written


def export(executed: Path) -> list[Path]:
    """Writes an executed notebook as HTML and, with the extra pdf, as PDF beside it; returns the files written.

    What the exporters of both would do alike, putting the page together, is done once for both.
    """
    import nbformat

    from ..page import html, pdf

    content = nbformat.read(executed, as_version=4)
    soup, figures, _ = html.PageExporter().document(content, {"metadata": {"name": executed.stem}})
    written = [executed.with_suffix(".html")]
    if pdf.is_available():
        written.append(executed.with_suffix(".pdf"))
        write_atomically(written[1], pdf.typeset(copy.copy(soup), figures, pdf.subtitle_of(content)))
    write_atomically(written[0], html.written(soup, figures))
    return written
