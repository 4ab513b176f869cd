#!/usr/bin/env python3
"""Writes src/shape/requests.rs and src/shape/responses.rs from Kafka's own message definitions.

Usage: generate.py KAFKA_CLIENTS_JAR, then `cargo fmt -p ebb-protocol`. The jar is org.apache.kafka:kafka-clients from
Maven Central, at the version of Kafka that the messages are taken from. The APIs are those of src/api.rs.
"""

import json
import pathlib
import re
import sys
import zipfile

SRC = pathlib.Path(__file__).parent.parent / "src"
ROW = re.compile(r"row\(ApiKey::(\w+), (\d+), (\d+), (\d+)\)")
WIDTHS = {"bool": 1, "int8": 1, "int16": 2, "uint16": 2, "int32": 4, "uint32": 4, "int64": 8, "float64": 8, "uuid": 16}
MAX = 32767


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
    assert not (value.startswith("Struct") and "nullableVersions" in field), "nullable structs have a mark of their own"
    until = "MAX" if high == MAX else high
    if "tag" not in field:
        return f"field({low}, {until}, {value}), // {field['name']}\n"
    assert versions(field["taggedVersions"]) == (low, high), "a field is tagged in all of its versions or in none"
    return f"tagged({field['tag']}, {low}, {until}, {value}), // {field['name']}\n"


def lines(fields, structs):
    return "\n" + "".join(line(field, structs) for field in fields)


def write(path, which, jar, apis):
    out = [
        f"//! The shapes of the {which.lower()}s, written by shape-gen from Kafka's definitions. Do not edit.\n",
        "\nuse super::{Field, Kind::{Array, Bytes, Fixed, String, Struct}, MAX, field, tagged};\n",
        "use crate::api::ApiKey;\n\n",
        f"/// The shape of an API's {which.lower()}.\n",
        "pub(super) fn shape(api: ApiKey) -> &'static [Field] {\nmatch api {\n",
    ]
    tables = []
    for name, *_ in apis:
        message = definition(jar, name + which)
        structs = {struct["name"]: struct["fields"] for struct in message.get("commonStructs", [])}
        const = re.sub(r"(?<!^)(?=[A-Z])", "_", name).upper()
        out.append(f"ApiKey::{name} => {const},\n")
        tables.append(f"\nconst {const}: &[Field] = &[{lines(message['fields'], structs)}];\n")
    path.write_text("".join(out) + "}\n}\n" + "".join(tables))


def main():
    apis = ROW.findall((SRC / "api.rs").read_text())
    with zipfile.ZipFile(sys.argv[1]) as jar:
        for name, _, _, flexible in apis:
            assert versions(definition(jar, name + "Request")["flexibleVersions"])[0] == int(flexible), name
        write(SRC / "shape" / "requests.rs", "Request", jar, apis)
        write(SRC / "shape" / "responses.rs", "Response", jar, apis)


main()
