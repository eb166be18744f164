"""Recovers the schema of the AWS provider from a Python package that binds to it.

cdktn-provider-aws holds generated JavaScript that says of each attribute its name, its type and
whether it is computed, optional or required. To be run again when terraform/ names a new type, or
another version of the provider:

    pip download --no-deps --dest build cdktn-provider-aws==25.8.1
    python -m deployments.terraform_offline.schema build/cdktn_provider_aws-*.whl

It writes aws.json, with the types that terraform/ names.
"""

import io
import json
import re
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

Spec = dict[str, Any]
Entries = dict[str, dict[str, str]]

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r'^(resource|data) "(aws_\w+)"', re.MULTILINE)

# What the bindings call a type -> Terraform's name for it.
STORED: dict[str, object] = {
    "string": "string",
    "number": "number",
    "boolean": "bool",
    "any": "dynamic",
    "stringList": ["list", "string"],
    "numberList": ["list", "number"],
    "booleanList": ["list", "bool"],
    "stringMap": ["map", "string"],
    "numberMap": ["map", "number"],
    "booleanMap": ["map", "bool"],
    "anyMap": ["map", "dynamic"],
    "stringMapList": ["list", ["map", "string"]],
}
# The same of what is only computed, by how it is read.
READ: dict[str, object] = {
    "getStringAttribute": "string",
    "getNumberAttribute": "number",
    "getBooleanAttribute": "bool",
    "getListAttribute": ["list", "string"],
    "getNumberListAttribute": ["list", "number"],
    "getStringMapAttribute": ["map", "string"],
    "getNumberMapAttribute": ["map", "number"],
    "getBooleanMapAttribute": ["map", "bool"],
    "getAnyMapAttribute": ["map", "dynamic"],
}
TERRAFORMS_OWN = (
    *("count", "depends_on", "provider", "lifecycle", "for_each", "connection", "provisioner"),
)
TOP_LEVEL = ("TerraformResource", "TerraformDataSource", "TerraformProvider")

CLASS = re.compile(r"^class (\w+) extends cdktn\.(\w+) \{\n(.*?)^\}", re.S | re.M)
TO_HCL = re.compile(r"^function (\w+)ToHclTerraform\(struct\) \{\n(.*?)^\}", re.S | re.M)
ENTRY = re.compile(
    r"^\s+(\w+): \{\n\s+value: (?:.*),\n\s+isBlock: (true|false),\n"
    r'\s+type: "(\w+)",\n\s+storageClassType: "([^"]*)",',
    re.M,
)
FIELD = re.compile(
    r"// (\w+) - computed: (true|false), optional: (true|false), required: (true|false)[^\n]*\n"
    r"(.*?)(?=\n    // \w+ - computed|\Z|\n    // ====|\n    // Temporarily)",
    re.S,
)
CHILD = re.compile(r'= new (\w+)\(this, "\w+"(?:, (true|false))?\)')
ITEM = re.compile(r"return new (\w+)\(")
SOURCE = re.compile(r"package/lib/([\w-]+)/index\.js")
GETTER = re.compile(r"this\.(get\w+Attribute)\(")


class Module:
    """One generated module: a resource, a data source or the provider."""

    def __init__(self, source: str) -> None:
        self._classes = {match[1]: (match[2], match[3]) for match in CLASS.finditer(source)}
        self._to_hcl = {match[1].lower(): match[2] for match in TO_HCL.finditer(source)}

    def schema(self) -> Spec:
        body = next(body for base, body in self._classes.values() if base in TOP_LEVEL)
        entries = _entries(body[body.find("synthesizeHclAttributes()") :])
        spec = self._spec(body[: body.find("synthesizeAttributes()")], entries)
        for name in TERRAFORMS_OWN:
            spec["attributes"].pop(name, None)
        return spec

    def _spec(self, body: str, entries: Entries) -> Spec:
        spec: Spec = {"attributes": {}, "blocks": {}}
        for name, computed, optional, required, rest in FIELD.findall(body):
            flags = {
                "computed": computed == "true",
                "optional": optional == "true",
                "required": required == "true",
            }
            entry = entries.get(name)
            child = CHILD.search(rest)
            if child is None and entry is not None and entry["block"] == "true":
                spec["blocks"][name] = self._plain_block(entry)
            elif child is None:
                spec["attributes"][name] = {"type": _type(entry, rest), **flags}
            elif entry is not None and entry["block"] == "true":
                spec["blocks"][name] = self._block(child, entry, flags)
            else:
                spec["attributes"][name] = self._object(child, entry, flags)
        return spec

    def _block(self, child: re.Match[str], entry: dict[str, str], flags: Spec) -> Spec:
        single = entry["type"] == "struct"
        several = self._base(child) == "ComplexList"
        return {
            "nesting": "single" if single else _collection(child, entry),
            "min": int(flags["required"]),
            "max": 0 if several or single else 1,
            **self._below(child),
        }

    def _plain_block(self, entry: dict[str, str]) -> Spec:
        """Of the provider itself, whose blocks have no class and nothing computed."""
        flags = {"computed": False, "optional": True, "required": False}
        entries = _entries(self._to_hcl[entry["stored"].removesuffix("List").lower()])
        attributes = {name: {"type": _type(each, ""), **flags} for name, each in entries.items()}
        nesting = "set" if entry["type"] == "set" else "list"
        return {"nesting": nesting, "min": 0, "max": 0, "attributes": attributes, "blocks": {}}

    def _object(self, child: re.Match[str], entry: dict[str, str] | None, flags: Spec) -> Spec:
        below = self._below(child)
        base = self._base(child)
        if entry is None:  # only computed
            inner = {name: each["type"] for name, each in below["attributes"].items()}
            outer = "map" if base == "ComplexMap" else _collection(child, entry)
            return {"type": [outer, ["object", inner]], **flags}
        for name, block in below["blocks"].items():
            optional = {"computed": False, "optional": True, "required": False}
            nested = {"nested": block["nesting"], "attributes": block["attributes"]}
            below["attributes"][name] = nested | optional
        several = _collection(child, entry) if base == "ComplexList" else "single"
        nesting = "map" if base == "ComplexMap" else several
        return {"nested": nesting, "attributes": below["attributes"], **flags}

    def _base(self, child: re.Match[str]) -> str:
        return self._classes[child[1]][0]

    def _below(self, child: re.Match[str]) -> Spec:
        base, body = self._classes[child[1]]
        name = child[1]
        if base in ("ComplexList", "ComplexMap"):
            item = ITEM.search(body)
            assert item is not None, name
            name = item[1]
        hcl = self._to_hcl.get(name.removesuffix("OutputReference").lower(), "")
        return self._spec(self._classes[name][1], _entries(hcl))


def _collection(child: re.Match[str], entry: dict[str, str] | None) -> str:
    is_set = child[2] == "true" or (entry is not None and entry["type"] == "set")
    return "set" if is_set else "list"


def _entries(body: str) -> Entries:
    return {
        match[1]: {"block": match[2], "type": match[3], "stored": match[4]}
        for match in ENTRY.finditer(body)
    }


def _type(entry: dict[str, str] | None, rest: str) -> object:
    if entry is not None and entry["stored"] in STORED:
        kind = STORED[entry["stored"]]
        return ["set", kind[1]] if entry["type"] == "set" and isinstance(kind, list) else kind
    getter = GETTER.search(rest)
    kind = READ.get(getter[1] if getter else "", "string")
    return ["set", kind[1]] if "Fn.tolist" in rest and isinstance(kind, list) else kind


def _lines(found: Spec) -> str:
    """As JSON, with a line for each type, so that a change shows which one it is of."""

    def types(of: str) -> str:
        lines = (f"{json.dumps(name)}: {json.dumps(spec)}" for name, spec in found[of].items())
        return f"{json.dumps(of)}: {{\n" + ",\n".join(lines) + "\n}"

    provider = f'"provider": {json.dumps(found["provider"])}'
    return "{\n" + ",\n".join((provider, types("resources"), types("data"))) + "\n}\n"


def named_types(folder: Path) -> list[tuple[str, str]]:
    """Which resources and data sources a configuration has."""
    texts = (path.read_text() for path in folder.rglob("*.tf"))
    return sorted({match for text in texts for match in NAMED.findall(text)})


def main(wheel: str) -> None:
    found = _found(_sources(wheel))
    Path(__file__).with_name("aws.json").write_text(_lines(found))


def _sources(wheel: str) -> dict[str, str]:
    """The module of each type, by its folder."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".jsii.tgz"))
        packed = io.BytesIO(archive.read(name))
    sources = {}
    with tarfile.open(fileobj=packed) as bundle:
        for member in bundle:
            if match := SOURCE.fullmatch(member.name):
                file = bundle.extractfile(member)
                assert file is not None, member.name
                sources[match[1]] = file.read().decode()
    return sources


def _found(sources: dict[str, str]) -> Spec:
    def schema(*folders: str) -> Spec:
        return Module(next(sources[each] for each in folders if each in sources)).schema()

    found: Spec = {"provider": schema("provider"), "resources": {}, "data": {}}
    for kind, name in named_types(ROOT / "terraform"):
        folder = name.removeprefix("aws_").replace("_", "-")
        if kind == "data":
            found["data"][name] = schema(f"data-aws-{folder}")
        else:
            found["resources"][name] = schema(folder, f"{folder}-resource")
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
