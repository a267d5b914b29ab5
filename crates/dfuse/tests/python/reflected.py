"""Calls of gRPC services without generated code: a server's reflection tells their methods and messages."""

import grpc
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase


class Reflected:
    """A server that tells what it has."""

    def __init__(self, address: str):
        self.channel = grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", -1)])
        self.database = ProtoReflectionDescriptorDatabase(self.channel)
        self.pool = descriptor_pool.DescriptorPool(self.database)

    def services(self) -> list[str]:
        return list(self.database.get_services())

    def message(self, name: str):
        """The class of a message."""
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(name))

    def method(self, service: str, name: str):
        """The class of a method's request, and what calls the method with one."""
        method = self.pool.FindServiceByName(service).methods_by_name[name]
        request, response = (message_factory.GetMessageClass(kind) for kind in (method.input_type, method.output_type))
        assert not method.client_streaming, f"{name} takes a stream"
        kind = self.channel.unary_stream if method.server_streaming else self.channel.unary_unary
        serializers = {"request_serializer": request.SerializeToString, "response_deserializer": response.FromString}
        return request, kind(f"/{service}/{name}", **serializers)
