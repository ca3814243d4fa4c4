"""MLflow's server with pages that open for model training: a plug-in (``mlflow server --app-name oplstm``).

MLflow 3.17 shows a fresh browser its face for language models, where an experiment opens on empty pages of traces and
an assistant beside them, and covers the list of registered models with an announcement. Which face it shows and what
was seen is no matter of the server or of the experiment but of the browser, which keeps the last choice; so the front
page carries a line of script that makes the choices where nobody has.
"""

from pathlib import Path
from typing import Any, Final

NAME: Final = "oplstm"
"""Of the plug-in, an entry point of the group ``mlflow.app``."""
_SCRIPT: Final = """<script>
for (const [name, choice] of Object.entries({
  "mlflow.workflowType_v1": '"machine_learning"', "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": "true",
  "_mlflow_model_registry_promo_modal_dismissed_v1": "true"}))
  try { localStorage.getItem(name) ?? localStorage.setItem(name, choice) } catch {}
</script>"""
"""The names and the form are those in which MLflow's pages keep the choices of a user."""


def app() -> Any:
    """MLflow's application; called by the server's worker processes."""
    from mlflow.server import app as pages
    from mlflow.server.fastapi_app import app as whole

    index = Path(pages.static_folder or "") / "index.html"
    if index.is_file():  # else MLflow says that it is not there
        text = index.read_text(encoding="utf-8").replace("<head>", f"<head>{_SCRIPT}", 1)
        fresh = {"Cache-Control": "no-cache"}
        pages.view_functions["serve"] = lambda: pages.response_class(text, mimetype="text/html", headers=fresh)
    return whole
