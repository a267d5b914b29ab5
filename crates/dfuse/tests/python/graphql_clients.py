"""The Python client gql over HTTP and over both protocols on WebSocket: DFUSE_SERVER is the host and port of a server.

Its answers are checked against each other, and what it may not ask is refused in the way that each protocol has.
"""

import asyncio
import os

from gql import Client, GraphQLRequest
from gql.transport.aiohttp import AIOHTTPTransport
from gql.transport.exceptions import TransportQueryError
from gql.transport.websockets import WebsocketsTransport

SERVER = os.environ["DFUSE_SERVER"]
PATIENCE = 60

BLOCK = GraphQLRequest(
    "query Block($time: Time!) { blockIDByTime(time: $time, comparator: GTE) { num id time } }",
    variable_values={"time": "2000-01-01T00:00:00Z"},
)

# The server leaves out what one account executes, and says so.
FILTERED = GraphQLRequest(
    """{
      searchTransactionsForward(query: "receiver:eosio", limit: 1) { filtered results { filtered } }
      searchTransactionsBackward(query: "receiver:eosio", limit: 1) { filtered results { filtered } }
      searchCount(query: "receiver:eosio") { filtered }
      getAccountHistoryActions(account: "eosio", limit: 1) { filtered }
    }"""
)


def stream(cursor: str) -> GraphQLRequest:
    """One result for each block."""
    return GraphQLRequest(
        """subscription Heartbeat($query: String!, $cursor: String) {
          searchTransactionsForward(query: $query, cursor: $cursor, lowBlockNum: -20) {
            undo cursor filtered block { num id }
          }
        }""",
        variable_values={"query": "receiver:eosio action:onblock", "cursor": cursor},
    )


async def refused(session) -> None:
    """A document that does not fit the schema; the client itself is not told the schema."""
    try:
        await session.execute(GraphQLRequest("{ nothingOfThisName }"))
    except TransportQueryError as error:
        assert error.errors[0]["extensions"]["code"] == "graphql_validation_error", error.errors
    else:
        raise AssertionError("a field that does not exist was answered")


async def over_http():
    async with Client(transport=AIOHTTPTransport(url=f"http://{SERVER}/graphql")) as session:
        await refused(session)
        filtered = await session.execute(FILTERED)
        for field, answer in filtered.items():
            results = answer.get("results", [])
            assert answer["filtered"] and all(result["filtered"] for result in results), (field, answer)
            assert len(results) == 1 or not field.startswith("searchTransactions"), (field, answer)
        return await session.execute(BLOCK), filtered


async def over_websocket(protocol: str, expected, filtered) -> None:
    transport = WebsocketsTransport(url=f"ws://{SERVER}/graphql", subprotocols=[protocol], init_payload={})
    async with Client(transport=transport) as session:
        assert await session.execute(BLOCK) == expected
        assert await session.execute(FILTERED) == filtered
        await refused(session)
        seen = []
        async for answer in session.subscribe(stream("")):
            seen.append(answer["searchTransactionsForward"])
            if len(seen) == 25:
                break
        numbers = [result["block"]["num"] for result in seen if not result["undo"]]
        assert numbers[:10] == list(range(numbers[0], numbers[0] + 10)), numbers
        assert all(result["filtered"] for result in seen), seen
        # It goes on behind a cursor, beside another subscription on the same connection.
        async def first(cursor: str):
            async for answer in session.subscribe(stream(cursor)):
                return answer["searchTransactionsForward"]

        again, _ = await asyncio.gather(first(seen[3]["cursor"]), first(""))
        assert again == seen[4], (again, seen[4])


async def main() -> None:
    expected, filtered = await over_http()
    assert expected["blockIDByTime"]["num"] >= 1, expected
    for protocol in [WebsocketsTransport.APOLLO_SUBPROTOCOL, WebsocketsTransport.GRAPHQLWS_SUBPROTOCOL]:
        await asyncio.wait_for(over_websocket(protocol, expected, filtered), PATIENCE)
        print(f"ok {protocol}")


asyncio.run(main())
