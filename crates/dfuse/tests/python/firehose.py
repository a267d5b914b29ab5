"""Firehose by clients that others have written: DFUSE_GRPC is the host and port of a server's gRPC, DFUSE_HEAD the id of the block
that its chain will end with, DFUSE_PROTO the folders of the schemas, separated by colons.

Each client follows the chain through its forks while the test feeds it, then goes on behind cursors, and fetches single blocks. One
knows nothing but what reflection tells; the other is made of the published schemas.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import grpc
from reflected import Reflected

PATIENCE = 120
HEAD = os.environ["DFUSE_HEAD"]
HEAD_NUM = int(HEAD[:8], 16)
FOLDERS = os.environ["DFUSE_PROTO"].split(":")
OPTIONS = [("grpc.max_receive_message_length", -1)]
NEW, UNDO, FINAL = 1, 2, 3


class ByReflection:
    """Knows nothing but what reflection tells."""

    name = "reflection"

    def __init__(self, address: str):
        server = Reflected(address)
        assert {"sf.firehose.v2.Stream", "sf.firehose.v2.Fetch", "sf.firehose.v2.EndpointInfo"} <= set(server.services())
        self.request, self.blocks = server.method("sf.firehose.v2.Stream", "Blocks")
        self.single, self.fetch = server.method("sf.firehose.v2.Fetch", "Block")
        self.info_request, self.info = server.method("sf.firehose.v2.EndpointInfo", "Info")
        self.block = server.message("sf.antelope.type.v1.Block")
        self.filter = server.message("dfuse.firehose.v1.SearchFilter")


class OfSchemas:
    """Made of the published schemas by protoc."""

    name = "schemas"

    def __init__(self, address: str, made: str):
        files = [str(path.relative_to(folder)) for folder in FOLDERS for path in Path(folder).rglob("*.proto")]
        includes = [f"-I{folder}" for folder in FOLDERS]
        command = [sys.executable, "-m", "grpc_tools.protoc", *includes, f"--python_out={made}", f"--grpc_python_out={made}"]
        subprocess.run([*command, *files], check=True)
        sys.path.insert(0, made)
        from dfuse.firehose.v1 import transforms_pb2
        from sf.antelope.type.v1 import type_pb2
        from sf.firehose.v2 import firehose_pb2, firehose_pb2_grpc

        channel = grpc.insecure_channel(address, options=OPTIONS, compression=grpc.Compression.Gzip)
        self.request = firehose_pb2.Request
        self.blocks = firehose_pb2_grpc.StreamStub(channel).Blocks
        self.single = firehose_pb2.SingleBlockRequest
        self.fetch = firehose_pb2_grpc.FetchStub(channel).Block
        self.info_request = firehose_pb2.InfoRequest
        self.info = firehose_pb2_grpc.EndpointInfoStub(channel).Info
        self.block = type_pb2.Block
        self.filter = transforms_pb2.SearchFilter


class Chain:
    """What a client has after the messages of a stream."""

    def __init__(self, ids=()):
        self.ids = list(ids)

    def take(self, message) -> None:
        told = message.metadata
        if message.step == UNDO:
            assert self.ids.pop() == told.id, "the undone block is not the last one"
            return
        assert message.step == NEW, message.step
        assert not self.ids or self.ids[-1] == told.parent_id, f"{told.num} does not follow"
        self.ids.append(told.id)


def decoded(client, any_block):
    assert any_block.TypeName() == "sf.antelope.type.v1.Block", any_block.type_url
    block = client.block()
    assert any_block.Unpack(block)
    return block


def follow(client, fed) -> list:
    """Follows the chain while it grows. Returns each place of the stream: its cursor and the chain by then."""
    chain, places, undone, with_json = Chain(), [], [], 0
    for message in client.blocks(client.request(stop_block_num=HEAD_NUM), timeout=PATIENCE):
        block = decoded(client, message.block)
        told = message.metadata
        assert (block.number, block.id, block.header.previous) == (told.num, told.id, told.parent_id)
        assert told.lib_num == block.dpos_irreversible_blocknum
        actions = [action.action for trace in block.unfiltered_transaction_traces for action in trace.action_traces]
        with_json += sum(bool(action.json_data) for action in actions)
        chain.take(message)
        if message.step == UNDO:
            undone.append((told.num, told.id))
        places.append((message.cursor, list(chain.ids)))
        if len(places) == 1:
            fed()
    assert chain.ids[-1] == HEAD, chain.ids[-1]
    assert with_json > 1000, with_json
    return places, undone


def resume(client, places) -> None:
    """Goes on behind cursors of every kind of place."""
    for cursor, ids in places[::9]:
        chain = Chain(ids)
        for message in client.blocks(client.request(cursor=cursor, stop_block_num=HEAD_NUM), timeout=PATIENCE):
            chain.take(message)
        assert chain.ids == places[-1][1], f"after {len(ids)} blocks"


def final_blocks(client, best) -> None:
    last = client.fetch(client.single(block_number={"num": HEAD_NUM}), timeout=PATIENCE).metadata.lib_num
    request = client.request(start_block_num=-1000, stop_block_num=last, final_blocks_only=True)
    messages = list(client.blocks(request, timeout=PATIENCE))
    assert all(message.step == FINAL for message in messages)
    assert [message.metadata.id for message in messages] == [id for id in best if int(id[:8], 16) <= last]


def fetch(client, places, undone) -> None:
    best = {int(id[:8], 16): id for id in places[-1][1]}
    for number in list(best)[::40]:
        answer = client.fetch(client.single(block_number={"num": number}), timeout=PATIENCE)
        assert answer.metadata.id == decoded(client, answer.block).id == best[number]
    # One that has lost is there by its id, and not by its number.
    for number, id in undone[::10]:
        reference = {"num": number, "hash": id}
        answer = client.fetch(client.single(block_hash_and_number=reference), timeout=PATIENCE)
        assert answer.metadata.id == id
    cursor, ids = places[len(places) // 3]
    answer = client.fetch(client.single(cursor={"cursor": cursor}), timeout=PATIENCE)
    assert answer.metadata.id in [*ids, *(id for _, id in undone)]
    refused(lambda: client.fetch(client.single(block_number={"num": 4000000}), timeout=PATIENCE), grpc.StatusCode.NOT_FOUND)


def filtered(client, best) -> None:
    """Transfers alone: whole transactions, with what matches marked."""
    request = client.request(stop_block_num=HEAD_NUM)
    request.transforms.add().Pack(client.filter(query="receiver:eosio.token action:transfer"))
    found = 0
    for message in client.blocks(request, timeout=PATIENCE):
        block = decoded(client, message.block)
        assert block.filtering_applied and block.id in best and not block.unfiltered_transaction_traces
        for trace in block.filtered_transaction_traces:
            matched = [action for action in trace.action_traces if action.filtering_matched]
            assert matched and all(action.action.name == "transfer" for action in matched), trace.id
            assert all(action.action.json_data for action in matched)
            found += len(matched)
    assert found > 50, found


def refused(call, code) -> None:
    try:
        result = call()
        if hasattr(result, "__next__"):
            next(result)
    except grpc.RpcError as error:
        assert error.code() == code, error
        names = [key for key, _ in error.trailing_metadata()]
        assert "x-error-code" in names, names
    else:
        raise AssertionError(f"it was not refused with {code}")


def bad_requests(client) -> None:
    invalid = grpc.StatusCode.INVALID_ARGUMENT
    refused(lambda: client.blocks(client.request(cursor="nonsense"), timeout=PATIENCE), invalid)
    refused(lambda: client.blocks(client.request(start_block_num=9, stop_block_num=3), timeout=PATIENCE), invalid)
    request = client.request()
    request.transforms.add().Pack(client.info_request())
    refused(lambda: client.blocks(request, timeout=PATIENCE), grpc.StatusCode.UNIMPLEMENTED)


def check(client, fed) -> None:
    places, undone = follow(client, fed)
    best = places[-1][1]
    assert client.info(client.info_request(), timeout=PATIENCE).first_streamable_block_id == best[0]
    resume(client, places)
    final_blocks(client, best)
    fetch(client, places, undone)
    filtered(client, best)
    bad_requests(client)
    print(f"ok {client.name}, {len(places)} messages, {len(undone)} undone", flush=True)


def main() -> None:
    address = os.environ["DFUSE_GRPC"]
    made = tempfile.mkdtemp()
    clients = {"reflection": lambda: ByReflection(address), "schemas": lambda: OfSchemas(address, made)}
    # The test feeds the rest of the chain when it reads that.
    check(clients[sys.argv[1]](), lambda: print("following", flush=True))


main()
