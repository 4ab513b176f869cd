#!/usr/bin/env python3
"""Writes src/shape/requests and src/shape/responses from Kafka's own message definitions.

Usage: generate.py KAFKA_CLIENTS_JAR, then `cargo fmt -p ebb-protocol`. The jar is org.apache.kafka:kafka-clients from
Maven Central, at the version of Kafka that the messages are taken from. The APIs are those of src/api.rs.
"""

import json
import pathlib
import re
import shutil
import sys
import zipfile

SRC = pathlib.Path(__file__).parent.parent / "src"
ROW = re.compile(r"row\(ApiKey::(\w+), (\d+), (\d+), (\d+)\)")
WIDTHS = {"bool": 1, "int8": 1, "int16": 2, "uint16": 2, "int32": 4, "uint32": 4, "int64": 8, "float64": 8, "uuid": 16}
MAX = 32767
KINDS = ("Array", "Bytes", "Fixed", "Optional", "String", "Struct")
# So that no file grows too long to be read.
KEYS_PER_FILE = 20
HEAD = "//! The shapes of the {which}s, written by shape-gen from Kafka's definitions. Do not edit.\n"


def definition(jar, name):
    text = jar.read(f"common/message/{name}.json").decode()
    return json.loads("\n".join(line for line in text.splitlines() if not line.strip().startswith("//")))


def versions(text):
    if text == "none":
        return (1, 0)
    if text.endswith("+"):
        return (int(text[:-1]), MAX)
    low, _, high = text.partition("-")
    return (int(low), int(high or low))


def kind(text, field, structs):
    if text.startswith("[]"):
        return f"Array(&{kind(text[2:], field, structs)})"
    if text in WIDTHS:
        return f"Fixed({WIDTHS[text]})"
    if text == "string":
        return "String"
    if text in ("bytes", "records"):
        return "Bytes"
    fields = field.get("fields") or structs[text]
    return f"Struct(&[{lines(fields, structs)}])"


def line(field, structs):
    low, high = versions(field["versions"])
    if low > high:
        return ""
    value = kind(field["type"], field, structs)
    if value.startswith("Struct") and "nullableVersions" in field:
        assert field["nullableVersions"] == field["versions"], "a struct is nullable in all of its versions or in none"
        value = "Optional" + value.removeprefix("Struct")
    until = "MAX" if high == MAX else high
    if "tag" not in field:
        return f"field({low}, {until}, {value}), // {field['name']}\n"
    assert versions(field["taggedVersions"]) == (low, high), "a field is tagged in all of its versions or in none"
    return f"tagged({field['tag']}, {low}, {until}, {value}), // {field['name']}\n"


def lines(fields, structs):
    return "\n" + "".join(line(field, structs) for field in fields)


def const(name):
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).upper()


def write_tables(folder, which, jar, module, names):
    tables = []
    for name in names:
        message = definition(jar, name + which)
        structs = {struct["name"]: struct["fields"] for struct in message.get("commonStructs", [])}
        tables.append(f"\npub(super) const {const(name)}: &[Field] = &[{lines(message['fields'], structs)}];\n")
    text = "".join(tables)
    kinds = ", ".join(kind for kind in KINDS if re.search(rf"\b{kind}\b", text))
    helpers = "".join(f", {helper}" for helper in ("field", "tagged") if f"{helper}(" in text)
    head = HEAD.format(which=which.lower())
    uses = f"\nuse super::super::{{Field, Kind::{{{kinds}}}, MAX{helpers}}};\n"
    (folder / f"{module}.rs").write_text(head + uses + text)


def write(folder, which, jar, apis):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    modules = {}
    for name, *_ in apis:
        first = definition(jar, name + which)["apiKey"] // KEYS_PER_FILE * KEYS_PER_FILE
        modules.setdefault(f"keys_{first}_to_{first + KEYS_PER_FILE - 1}", []).append(name)
    for module, names in modules.items():
        write_tables(folder, which, jar, module, names)
    arms = "".join(f"ApiKey::{name} => {module}::{const(name)},\n" for module in modules for name in modules[module])
    (folder / "mod.rs").write_text(
        HEAD.format(which=which.lower())
        + "\n"
        + "".join(f"mod {module};\n" for module in modules)
        + "\nuse super::Field;\nuse crate::api::ApiKey;\n\n"
        + f"/// The shape of an API's {which.lower()}.\n"
        + f"pub(super) fn shape(api: ApiKey) -> &'static [Field] {{\nmatch api {{\n{arms}}}\n}}\n"
    )


def main():
    apis = ROW.findall((SRC / "api.rs").read_text())
    with zipfile.ZipFile(sys.argv[1]) as jar:
        for name, _, _, flexible in apis:
            assert versions(definition(jar, name + "Request")["flexibleVersions"])[0] == int(flexible), name
        write(SRC / "shape" / "requests", "Request", jar, apis)
        write(SRC / "shape" / "responses", "Response", jar, apis)


main()
