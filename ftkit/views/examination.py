"The page of `ftkit check --html`: what the doctor found, in a file that needs no other."

from pathlib import Path

from markupsafe import Markup

from ftkit.errors import UserError, escape_controls
from ftkit.files.atomic import write_text
from ftkit.views.html import Section, table_html, templates


def render_examination(
    result: dict,  # of `examine`
) -> str:
    "Return the page as HTML. Every text from the data is escaped"
    counts = [{"label": name, "rows": count} for name, count in result["labels"].items()]
    lengths = [
        {"split": split, "in": kind, **values}
        for split, found in result["lengths"].items()
        for kind, values in (found or {}).items()
    ]
    twins = [
        {"": "duplicates among the training rows", **result["duplicates"]},
        {"": "test rows that are training rows too", **result["leaks"]},
    ]
    sections = [finding_section(finding) for finding in result["findings"]]
    sections += [
        *([Section("Labels", [table_html(counts)])] if counts else []),
        Section("Length of a text", [table_html(lengths)]),
        Section("Duplicates and leaks", [table_html(twins)]),
    ]
    page = templates().get_template("examination.html.j2")
    return page.render(title="What the rows hold", result=result, sections=sections)


def finding_section(
    finding: dict,  # of `examine`
) -> Section:
    "Return a finding: its count, the examples and the line that mends it"
    count = f" ({finding['count']:,})" if finding["count"] > 1 else ""
    items = Markup("").join(Markup("<li>{}</li>").format(escape_controls(text)) for text in finding["examples"])
    parts = [Markup("<ul>{}</ul>").format(items)] if items else []
    if finding["fix"]:
        parts.append(Markup("<pre>{}</pre>").format(escape_controls(finding["fix"])))
    return Section(finding["what"][:1].upper() + finding["what"][1:] + count, parts)


def write_examination(
    result: dict,  # of `examine`
    file: str | Path,  # where the page goes
) -> Path:
    "Write the page and return its path. Raises `UserError` if it cannot be written"
    try:
        write_text(Path(file), render_examination(result))
    except OSError as e:
        raise UserError(f"{file}: cannot be written ({e.strerror}). Name another file for --html.") from None
    return Path(file)
