"""Write `docs/terraform/` in the registry's layout from what the provider says of itself and from `examples/terraform`.

What it says is read as Terraform reads it, with `terraform providers schema -json`, so a page cannot describe what the
protocol does not carry.

    python scripts/gen_terraform_docs.py            write docs/terraform/
    python scripts/gen_terraform_docs.py --check    exit 1 and name each stale page
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from outlay_terraform.provider import ADDRESS, new_lifecycle
from outlay_terraform.wire.reattach import reattachable

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs" / "terraform"
EXAMPLES = ROOT / "examples" / "terraform"

Json = dict[str, Any]


def main() -> int:
    """Write, or with --check compare; the exit status."""
    parser = argparse.ArgumentParser(description="Generate docs/terraform/ from the provider's schema.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a page is stale")
    check = parser.parse_args().check
    if shutil.which("terraform") is None:
        print("there is no terraform on the PATH: docs/terraform/ was left as it is", file=sys.stderr)
        return 0 if check else 1
    fresh = pages()
    stale = [path for path, text in fresh.items() if not (DOCS / path).exists() or (DOCS / path).read_text() != text]
    stale += sorted({str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")} - fresh.keys())
    if check:
        for path in stale:
            print(f"docs/terraform/{path} is not what the provider says: run scripts/gen_terraform_docs.py")
        return 1 if stale else 0
    for path in stale:
        if path in fresh:
            (DOCS / path).parent.mkdir(parents=True, exist_ok=True)
            (DOCS / path).write_text(fresh[path])
        else:
            (DOCS / path).unlink()
    print(f"docs/terraform/: {len(stale)} page(s) changed")
    return 0


def pages() -> dict[str, str]:
    """The text of every page, by its path below `docs/terraform`."""
    provider = provider_schema()
    found = {"index.md": index_page(provider["provider"])}
    for name, schema in provider["resource_schemas"].items():
        found[f"resources/{name.removeprefix('outlay_')}.md"] = resource_page(name, schema)
    for name, schema in provider["data_source_schemas"].items():
        found[f"data-sources/{name.removeprefix('outlay_')}.md"] = data_source_page(name, schema)
    for name, function in provider["functions"].items():
        found[f"functions/{name}.md"] = function_page(name, function)
    return found


def provider_schema() -> Json:
    """What `terraform providers schema -json` says of this checkout's provider."""
    foreign = ("TF_", "OUTLAY_")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    clean |= {"CHECKPOINT_DISABLE": "1", "TF_CLI_CONFIG_FILE": os.devnull}
    with reattachable(new_lifecycle(), ADDRESS) as environment, tempfile.TemporaryDirectory() as folder:
        shutil.copy(EXAMPLES / "provider" / "provider.tf", folder)
        done = subprocess.run(
            ["terraform", "providers", "schema", "-json"],
            cwd=folder,
            env=clean | environment,
            capture_output=True,
            text=True,
            check=True,
        )
    schemas: Json = json.loads(done.stdout)["provider_schemas"][ADDRESS]
    return schemas


def index_page(schema: Json) -> str:
    """The page of the provider."""
    block = schema["block"]
    return page(
        "outlay Provider",
        block["description"],
        "# outlay Provider",
        block["description"],
        "## Example Usage",
        example("provider/provider.tf"),
        *schema_sections(block),
    )


def resource_page(name: str, schema: Json) -> str:
    """The page of a resource."""
    block = schema["block"]
    command = (EXAMPLES / "resources" / name / "import.sh").read_text().strip()
    address, identifier = command.split()[-2:]
    return page(
        f"{name} Resource - outlay",
        block["description"],
        f"# {name} (Resource)",
        block["description"],
        "## Example Usage",
        example(f"resources/{name}/resource.tf"),
        *schema_sections(block),
        "## Import",
        "By its name, or by the ids alone:",
        fenced("shell", f"{command}\n{' '.join(command.split()[:-1])} {short(identifier)}"),
        "Or in the configuration:",
        fenced("terraform", f'import {{\n  to = {address}\n  id = "{identifier}"\n}}'),
    )


def data_source_page(name: str, schema: Json) -> str:
    """The page of a data source."""
    block = schema["block"]
    return page(
        f"{name} Data Source - outlay",
        block["description"],
        f"# {name} (Data Source)",
        block["description"],
        "## Example Usage",
        example(f"data-sources/{name}/data-source.tf"),
        *schema_sections(block),
    )


def function_page(name: str, function: Json) -> str:
    """The page of a function."""
    parameters = function.get("parameters", [])
    signature = ", ".join(f"{each['name']} {type_name(each['type'])}" for each in parameters)
    arguments = "\n".join(
        f"1. `{each['name']}` ({type_name(each['type']).capitalize()}) {each['description']}" for each in parameters
    )
    return page(
        f"{name} function - outlay",
        function["summary"],
        f"# function: {name}",
        function["description"],
        "## Example Usage",
        example(f"functions/{name}/function.tf"),
        "## Signature",
        fenced("text", f"{name}({signature}) {type_name(function['return_type'])}"),
        "## Arguments",
        arguments,
    )


def page(title: str, description: str, *parts: str) -> str:
    """A page with the front matter that the registry reads."""
    matter = f'---\npage_title: "{title}"\nsubcategory: ""\ndescription: |-\n  {description}\n---'
    return "\n\n".join([matter, *parts]) + "\n"


def example(path: str) -> str:
    """An example from `examples/terraform`, which the tests apply."""
    return fenced("terraform", (EXAMPLES / path).read_text().strip())


def fenced(language: str, text: str) -> str:
    return f"```{language}\n{text}\n```"


def short(identifier: str) -> str:
    """`acme/research`, of `organizations/acme/budgets/research`."""
    return "/".join(identifier.split("/")[1::2])


def schema_sections(block: Json) -> Iterator[str]:
    """The attributes by who sets them, and the members of those that are objects."""
    yield "## Schema"
    yield from attribute_lists(block["attributes"], "###")
    for name, each in sorted(block["attributes"].items()):
        nested = each.get("nested_type")
        if nested:
            yield f'<a id="nestedatt--{name}"></a>\n### Nested Schema for `{name}`'
            yield from attribute_lists(nested["attributes"], "####", f"{name}.")
            for inner, member in sorted(nested["attributes"].items()):
                if "nested_type" in member:
                    path = f"{name}--{inner}"
                    yield f'<a id="nestedatt--{path}"></a>\n### Nested Schema for `{name}.{inner}`'
                    yield from attribute_lists(member["nested_type"]["attributes"], "####", f"{path}.")


def attribute_lists(attributes: Json, heading: str, parent: str = "") -> Iterator[str]:
    """Required, optional and read-only attributes, each by name."""
    groups: dict[str, list[str]] = {"Required": [], "Optional": [], "Read-Only": []}
    for name, each in sorted(attributes.items()):
        group = "Required" if each.get("required") else "Optional" if each.get("optional") else "Read-Only"
        groups[group].append(attribute_line(name, each, parent))
    for title, lines in groups.items():
        if lines:
            yield f"{heading} {title}"
            yield "\n".join(lines)


def attribute_line(name: str, each: Json, parent: str) -> str:
    """One attribute, as the registry's own generator writes it."""
    nested = each.get("nested_type")
    kind = f"Attributes{' List' if nested['nesting_mode'] == 'list' else ''}" if nested else titled(each["type"])
    marks = [kind, *("Sensitive" for _ in [0] if each.get("sensitive"))]
    marks += [
        "[Write-only](https://developer.hashicorp.com/terraform/language/resources/ephemeral#write-only-arguments)"
    ] * bool(each.get("write_only"))
    anchor = f"nestedatt--{parent.replace('.', '--')}{name}"
    below = f" (see [below for nested schema](#{anchor}))" if nested else ""
    return f"- `{name}` ({', '.join(marks)}) {each['description']}{below}"


def titled(kind: Any) -> str:
    """`String`, `Map of String`."""
    if isinstance(kind, str):
        return {"bool": "Boolean"}.get(kind, kind.capitalize())
    return f"{kind[0].capitalize()} of {titled(kind[1])}"


def type_name(kind: Any) -> str:
    """`string`."""
    assert isinstance(kind, str), "functions here take and return plain values"
    return kind


if __name__ == "__main__":
    sys.exit(main())
