"""Renders templates of any package on the shared base: every value escaped, nothing to load."""

from jinja2 import (
    ChoiceLoader,
    Environment,
    PackageLoader,
    StrictUndefined,
    select_autoescape,
)

from dico.process.progress import format_seconds


def render(package: str, template: str, **values: object) -> str:
    """The page as HTML.

    Args:
        package: whose folder ``templates`` has the template; it may extend ``base.html``, which is
            looked for in `dico.pages` like everything else that the package lacks.
        template: name of the file.
        values: what the template asks for; one that is missing is an error.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("dico.pages")]),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["seconds"] = format_seconds
    return environment.get_template(template).render(**values)
