"""The code of a page, as it stands there."""

import re
from pathlib import Path


def blocks(page: Path, *languages: str) -> list[str]:
    """The code of a page in these languages."""
    return re.findall(rf"^```(?:{'|'.join(languages)})\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
