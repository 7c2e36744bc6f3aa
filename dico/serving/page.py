"""The page where one drops an image, and what a browser lets it do."""

import base64
import hashlib
import re

from dico.pages.rendering import render


def render_page(name: str, version: str) -> tuple[str, str]:
    """The page, and the policy that lets its one script and its one style run, and nothing else."""
    page = render("dico.serving", "page.html", name=name, version=version)
    return page, content_policy(page)


def content_policy(page: str) -> str:
    """The policy that lets a page's own scripts and styles run, and nothing else."""
    hashes = {
        tag: [_hash(text) for text in re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)]
        for tag in ("script", "style")
    }
    return (
        "default-src 'none'; img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'; "
        f"script-src {' '.join(hashes['script'])}; style-src {' '.join(hashes['style'])}"
    )


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
