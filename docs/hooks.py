"""MkDocs hook: env cards from the docstrings, a page of bounds, and a page for each module.

The pages exist only in the build, so they cannot fall behind the code.
"""

import csv
import inspect
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import griffe
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

ROOMS = {
    "theory": "Theory",
    "spaces": "Spaces",
    "envs": "Environments",
    "agents": "Agents",
    "bench": "Benchmark",
    "cli": "Command line",
    "data": "Data",
}


class PlainBrackets(griffe.Extension):
    """Applies `plain_brackets` to every docstring of the reference."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called for each object once it has been read."""
        if obj.docstring:
            obj.docstring.value = plain_brackets(obj.docstring.value)


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages and hang them into the navigation."""
    pages: list[Any] = []

    def add(name: str, title: str, content: str) -> dict[str, str]:
        files.append(File.generated(config, name, content=content))
        return {title: name}

    cards = [add(f"environments/{slug}.md", name, text) for slug, name, text in env_cards()]
    if cards:
        pages.append({"Environments": cards})
    if bounds := bounds_page():
        pages.append(add("bounds.md", "Bounds", bounds))
    rooms: dict[str, list[Any]] = {}
    for module in modules():
        room = module.split(".")[1]
        text = f"# {module}\n\n::: {module}\n    options:\n      show_root_heading: false\n"
        page = add(f"reference/{module}.md", module.removeprefix("rlopt."), text)
        rooms.setdefault(ROOMS.get(room, room), []).append(page)
    pages.append({"Reference": [{room: found} for room, found in rooms.items()]})
    config.nav = [*config.nav[:1], *pages[:-1], *config.nav[1:], pages[-1]]
    return files


def modules() -> list[str]:
    """Every module that has something to show, in the order of the rooms."""
    found = []
    for path in sorted((ROOT / "rlopt").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        if len(parts) > 1 and not any(part.startswith("_") for part in parts):
            found.append(".".join(parts))
    order = list(ROOMS)
    rank = {name: order.index(name) if name in order else len(order) for name in order}
    return sorted(found, key=lambda name: (rank.get(name.split(".")[1], len(order)), name))


def env_cards() -> list[tuple[str, str, str]]:
    """File name, title and text of a card for each registered environment."""
    import gymnasium

    import_module("rlopt")
    cards = []
    for spec in sorted(gymnasium.registry.values(), key=lambda spec: spec.id):
        if spec.namespace != "rlopt":
            continue
        func: Any = gymnasium.make(spec.id, disable_env_checker=True).unwrapped.func  # type: ignore[attr-defined]
        maker = made_by(spec, func)
        facts = {
            "make": f'`gymnasium.make("{spec.id}")`',
            "made by": f"`{spec.kwargs.get('func', f'{maker.__module__}:{maker.__name__}')}`",
            "actions": f"`{func.action_space}`",
            "observations": f"`{func.observation_space}`",
            "horizon": str(func.horizon) if func.horizon is not None else "endless",
            "discount": str(func.gamma),
        }
        rows = "".join(f"- {name}: {value}\n" for name, value in facts.items())
        text = f"# {spec.id}\n\n{rows}\n"
        if maker is not type(func):
            text += f"{sections(inspect.getdoc(maker) or '')}\n{signature(maker)}"
        cards.append((spec.name, spec.id, text + sections(inspect.getdoc(func) or "")))
    return cards


def made_by(spec: Any, func: Any) -> Any:
    """The constructor that the id's keyword arguments go to: a function, or the class itself."""
    place = spec.kwargs.get("func", "")
    if ":" not in place:
        return type(func)
    module, name = place.split(":")
    return getattr(import_module(module), name)


def signature(maker: Any) -> str:
    """The keyword arguments with their defaults as a code block; nothing if they are not named."""
    found = inspect.signature(maker).parameters.values()
    lines = [f"    {parameter}," for parameter in found if parameter.kind != parameter.VAR_KEYWORD]
    if not lines:
        return ""
    return "\n".join(["```python", f"{maker.__name__}(", *lines, ")", "```", "", ""])


def bounds_page() -> str:
    """The registered bounds as one table, or nothing if there are none."""
    for module in modules():
        if module.startswith("rlopt.theory."):
            import_module(module)
    known = sys.modules.get("rlopt.theory.registry")
    records = known.bounds() if known else {}
    if not records:
        return ""
    shares = measured_shares()
    rows = "".join(
        f"| [`{name}`][{record.function.__module__}.{name}] | {cell(record.source)} "
        f"| {record.holds} | {'yes' if record.tight else 'no'} | {shares.get(name, '')} |\n"
        for name, record in sorted(records.items())
    )
    head = "| bound | source | holds | attained | measured / bound |\n|---|---|---|---|---|\n"
    about = "The last column is the largest share that a learner reached on random tasks.\n"
    return f"# Bounds\n\n{about}\n{head}{rows}"


def measured_shares() -> dict[str, str]:
    """Bound -> the largest measured/bound of the experiments' `bounds.csv`."""
    largest: dict[str, float] = {}
    for path in sorted((ROOT / "experiments").glob("*/results/bounds.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                name, share = row["function"].strip("`"), float(row["max measured/bound"])
                largest[name] = max(share, largest.get(name, 0.0))
    return {name: f"{share:.3f}" for name, share in largest.items()}


def cell(text: str) -> str:
    """Text for one cell of a Markdown table."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|")


def sections(docstring: str) -> str:
    """A Google docstring as Markdown: section heads become headings, their indent goes."""
    lines: list[str] = []
    source = docstring.splitlines()
    inside = False
    for line, after in zip(source, [*source[1:], ""], strict=True):
        if re.fullmatch(r"[A-Z].*:", line) and after.startswith("    "):
            lines += ["", f"## {line[:-1]}", ""]
            inside = True
        elif inside and line.startswith("    "):
            item = re.match(r"(\w+)(?: \([^)]*\))?: ", line[4:])
            lines.append(f"- `{item[1]}`: {line[4:][item.end() :]}" if item else line[4:])
        else:
            inside = inside and not line
            lines.append(line)
    return plain_brackets("\n".join(lines)) + "\n"


def plain_brackets(text: str) -> str:
    """Keep Markdown from reading a unit after a bracket, as in `E[x] [m]`, as a link."""
    return text.replace("] [", "] \\[")
