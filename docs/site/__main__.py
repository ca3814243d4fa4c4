"""``python -m docs.site FOLDER`` writes what the site is built from; ``make docs`` builds it."""

import sys
from pathlib import Path

from docs.site.pages import write_site_source

write_site_source(Path(sys.argv[1]))
