"""MLflow's server with pages that open for model training: a plug-in (``mlflow server --app-name oplstm``).

MLflow 3.17 shows a fresh browser its face for language models, where an experiment opens on empty pages of traces and
an assistant beside them. Which face it shows is no matter of the server or of the experiment but of the browser, which
keeps the last choice; so the front page carries a line of script that makes the choice where nobody has.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from fastapi import FastAPI
    from flask import Response

NAME: Final = "oplstm"
"""Of the plug-in, an entry point of the group ``mlflow.app``."""
_SCRIPT: Final = """<script>
for (const [name, choice] of Object.entries({
  "mlflow.workflowType_v1": '"machine_learning"', "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": "true"}))
  try { localStorage.getItem(name) ?? localStorage.setItem(name, choice) } catch {}
</script>"""
"""The names and the form are those in which MLflow's pages keep the choices of a user."""


def app() -> "FastAPI":
    """MLflow's application; called by the server's worker processes."""
    from mlflow.server import app as pages
    from mlflow.server.fastapi_app import app as whole

    pages.before_request(_front_page)
    application: FastAPI = whole
    return application


def _front_page() -> "Response | None":
    """The answer to a request for the front page, with the script before all others; None to any other."""
    from flask import Response, current_app, request

    page = Path(current_app.static_folder or "") / "index.html"
    if request.endpoint != "serve" or not page.is_file():
        return None
    text = page.read_text(encoding="utf-8").replace("<head>", f"<head>{_SCRIPT}", 1)
    return Response(text, mimetype="text/html", headers={"Cache-Control": "no-cache"})
