"""GraphQL over gRPC, by a client that knows nothing but what reflection tells: DFUSE_SERVER is the host and port of a server's
HTTP, DFUSE_GRPC those of its gRPC.

Answers are those of HTTP; a subscription streams, and goes on behind a cursor.
"""

import json
import os
from itertools import islice
from urllib.request import Request, urlopen

import grpc
from reflected import Reflected

NAMES = ["dfuse.graphql.v1.GraphQL", "dfuse.eosio.v1.GraphQL", "sf.graphql.v1.GraphQL"]
PATIENCE = 60

BLOCK = "query Block($time: Time!) { blockIDByTime(time: $time, comparator: GTE) { num id time } }"
FILTERED = '{ searchTransactionsForward(query: "receiver:eosio", limit: 1) { filtered } searchCount(query: "receiver:eosio") { filtered } }'
STREAM = """subscription ($query: String!, $cursor: String, $low: Int64) {
  searchTransactionsForward(query: $query, cursor: $cursor, lowBlockNum: $low) {
    undo cursor filtered block { num id } trace { id }
  }
}"""


def over_http(document: str, variables: dict) -> dict:
    body = json.dumps({"query": document, "variables": variables}).encode()
    with urlopen(Request(f"http://{os.environ['DFUSE_SERVER']}/graphql", data=body), timeout=PATIENCE) as answer:
        return json.load(answer)["data"]


class GraphQL:
    """The service under one of its names."""

    def __init__(self, server: Reflected, name: str):
        self.request, self.call = server.method(name, "Execute")

    def execute(self, document: str, variables: dict):
        request = self.request(query=document)
        request.variables.update(variables)
        return self.call(request, timeout=PATIENCE)

    def one(self, document: str, variables: dict) -> dict:
        (answer,) = self.execute(document, variables)
        assert not answer.errors, answer
        return json.loads(answer.data)

    def stream(self, cursor: str, count: int) -> list[dict]:
        variables = {"query": "receiver:eosio action:onblock", "cursor": cursor, "low": -20}
        answers = self.execute(STREAM, variables)
        results = [json.loads(answer.data)["searchTransactionsForward"] for answer in islice(answers, count)]
        answers.cancel()
        return results


def refused(client: GraphQL) -> None:
    (answer,) = client.execute("{ nothingOfThisName }", {})
    (error,) = answer.errors
    assert error.extensions["code"] == "graphql_validation_error", answer
    assert error.locations[0].line == 1, answer
    (answer,) = client.execute(STREAM, {"query": "receiver:eosio", "cursor": "nonsense"})
    (error,) = answer.errors
    assert (error.extensions["code"], error.extensions["terminal"]) == ("request_validation_error", True), answer


def main() -> None:
    server = Reflected(os.environ["DFUSE_GRPC"])
    assert set(NAMES) <= set(server.services()), server.services()
    variables = {"time": "2000-01-01T00:00:00Z"}
    expected = over_http(BLOCK, variables)
    for name in NAMES:
        client = GraphQL(server, name)
        assert client.one(BLOCK, variables) == expected
        # The server leaves out what one account executes, and says so.
        filtered = client.one(FILTERED, {})
        assert all(answer["filtered"] for answer in filtered.values()), filtered
        refused(client)
        seen = client.stream("", 25)
        numbers = [result["block"]["num"] for result in seen if not result["undo"]]
        assert numbers[:10] == list(range(numbers[0], numbers[0] + 10)), numbers
        assert all(result["filtered"] for result in seen), seen
        assert client.stream(seen[3]["cursor"], 1) == [seen[4]]
        print(f"ok {name}")
    # What is not there has a status.
    try:
        server.channel.unary_unary("/dfuse.graphql.v1.GraphQL/Nothing")(b"", timeout=PATIENCE)
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.UNIMPLEMENTED, error
    else:
        raise AssertionError("a method that does not exist was called")


main()
