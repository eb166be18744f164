"""A Terraform provider that knows a schema and no cloud: plugin protocol 6 on a Unix socket.

With it the real Terraform initialises, validates, plans and tests a configuration of the AWS
provider without network or account. It plans what is computed as unknown, so that nothing can be
asserted that AWS would have decided. It does not do what the real one does besides its schema:
allowed values, arguments that exclude each other, syntax of ARNs.
"""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import msgpack
from tf.gen import tfplugin_pb2 as protocol

Spec = dict[str, Any]
Make = Callable[[str, Spec], object]

THREADS = 8
UNKNOWN = msgpack.ExtType(0, b"")
BLOCK_NESTING = {"single": 1, "list": 2, "set": 3, "map": 4}
OBJECT_NESTING = {"single": 1, "list": 2, "set": 3, "map": 4}
# What data sources answer with, where a configuration takes it apart.
ANSWERS: dict[str, object] = {
    "json": '{"Version":"2012-10-17","Statement":[]}',
    "names": ["zone-a", "zone-b", "zone-c"],
}
EMPTY: dict[str, object] = {"string": "", "number": 0, "bool": False}


class Provider:
    def __init__(self, schemas: Spec) -> None:
        self._provider: Spec = schemas["provider"]
        self._resources: dict[str, Spec] = schemas["resources"]
        self._data: dict[str, Spec] = schemas["data"]

    def get_provider_schema(self, request: Any) -> Any:
        return protocol.GetProviderSchema.Response(
            provider=_schema(self._provider),
            resource_schemas={name: _schema(spec) for name, spec in self._resources.items()},
            data_source_schemas={name: _schema(spec) for name, spec in self._data.items()},
            server_capabilities=protocol.ServerCapabilities(plan_destroy=True),
        )

    def upgrade_resource_state(self, request: Any) -> Any:
        state = json.loads(request.raw_state.json)
        return protocol.UpgradeResourceState.Response(upgraded_state=_encode(state))

    def read_resource(self, request: Any) -> Any:
        return protocol.ReadResource.Response(new_state=request.current_state)

    def plan_resource_change(self, request: Any) -> Any:
        proposed = _decode(request.proposed_new_state)
        if proposed is None:  # it is to be destroyed
            return protocol.PlanResourceChange.Response(planned_state=request.proposed_new_state)
        prior = _decode(request.prior_state)

        def make(name: str, _: Spec) -> object:
            return prior.get(name) if prior else UNKNOWN

        planned = _fill(self._resources[request.type_name], proposed, make)
        return protocol.PlanResourceChange.Response(planned_state=_encode(planned))

    def read_data_source(self, request: Any) -> Any:
        found = _fill(self._data[request.type_name], _decode(request.config), _answer)
        return protocol.ReadDataSource.Response(state=_encode(found))


def serve(schema: Path, socket: Path) -> grpc.Server:
    """Until it is stopped."""
    provider = Provider(json.loads(schema.read_bytes()))
    answers: dict[str, Callable[[Any], Any]] = {
        "GetProviderSchema": provider.get_provider_schema,
        "ValidateProviderConfig": lambda _: protocol.ValidateProviderConfig.Response(),
        "ValidateResourceConfig": lambda _: protocol.ValidateResourceConfig.Response(),
        "ValidateDataResourceConfig": lambda _: protocol.ValidateDataResourceConfig.Response(),
        "ConfigureProvider": lambda _: protocol.ConfigureProvider.Response(),
        "GetFunctions": lambda _: protocol.GetFunctions.Response(),
        "StopProvider": lambda _: protocol.StopProvider.Response(),
        "UpgradeResourceState": provider.upgrade_resource_state,
        "ReadResource": provider.read_resource,
        "PlanResourceChange": provider.plan_resource_change,
        "ReadDataSource": provider.read_data_source,
    }
    server = grpc.server(
        ThreadPoolExecutor(THREADS), options=[("grpc.max_send_message_length", -1)]
    )
    handlers = {name: _handler(name, answer) for name, answer in answers.items()}
    service = grpc.method_handlers_generic_handler("tfplugin6.Provider", handlers)
    server.add_generic_rpc_handlers((service,))
    server.add_insecure_port(f"unix:{socket}")
    server.start()
    return server


def _handler(name: str, answer: Callable[[Any], Any]) -> Any:
    messages = getattr(protocol, name)
    return grpc.unary_unary_rpc_method_handler(
        lambda request, _: answer(request),
        request_deserializer=messages.Request.FromString,
        response_serializer=messages.Response.SerializeToString,
    )


def _schema(spec: Spec) -> Any:
    return protocol.Schema(version=0, block=_block(spec))


def _block(spec: Spec) -> Any:
    return protocol.Schema.Block(
        attributes=[_attribute(name, each) for name, each in spec["attributes"].items()],
        block_types=[
            protocol.Schema.NestedBlock(
                type_name=name,
                nesting=BLOCK_NESTING[each["nesting"]],
                min_items=each["min"],
                max_items=each["max"],
                block=_block(each),
            )
            for name, each in spec["blocks"].items()
        ],
    )


def _attribute(name: str, spec: Spec) -> Any:
    required = spec["required"]
    flags = {
        "required": required,
        "optional": not required and (spec["optional"] or not spec["computed"]),
        "computed": not required and spec["computed"],
    }
    if "nested" not in spec:
        return protocol.Schema.Attribute(name=name, type=json.dumps(spec["type"]).encode(), **flags)
    nested = protocol.Schema.Object(
        nesting=OBJECT_NESTING[spec["nested"]],
        attributes=[_attribute(below, each) for below, each in spec["attributes"].items()],
    )
    return protocol.Schema.Attribute(name=name, nested_type=nested, **flags)


def _decode(value: Any) -> Any:
    if value.msgpack:
        return msgpack.unpackb(
            value.msgpack, raw=False, strict_map_key=False, ext_hook=msgpack.ExtType
        )
    return json.loads(value.json) if value.json else None


def _encode(value: object) -> Any:
    return protocol.DynamicValue(msgpack=msgpack.packb(value))


def _fill(spec: Spec, value: Spec, make: Make) -> Spec:
    """Give every computed attribute that is not set what `make` makes for it."""
    for name, attribute in spec["attributes"].items():
        if attribute["computed"] and value.get(name) is None:
            value[name] = make(name, attribute)
    for name, nested in spec["blocks"].items():
        below = value.get(name)
        for child in below if isinstance(below, list) else [below] if below else []:
            _fill(nested, child, make)
    return value


def _answer(name: str, spec: Spec) -> object:
    kind = spec.get("type")
    if name in ANSWERS:
        return ANSWERS[name]
    if isinstance(kind, str):
        return EMPTY.get(kind)
    return {"list": [], "set": [], "map": {}}.get(kind[0]) if kind else None
