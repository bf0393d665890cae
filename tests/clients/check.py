"""The GraphQL edge through gql, the Python client: over HTTP and over a WebSocket, and against the schema it reads itself."""

import asyncio
import os
import traceback

from gql import Client, gql
from gql.transport.aiohttp import AIOHTTPTransport
from gql.transport.exceptions import TransportQueryError
from gql.transport.websockets import WebsocketsTransport

HTTP = os.environ["SERVER"] + "/graphql"
WS = HTTP.replace("http", "ws")
CREATE = gql("mutation ($input: CreateDocumentInput!) { createDocument(input: $input) { document { id title } } }")


def http():
    # The client validates against what introspection told it.
    return Client(transport=AIOHTTPTransport(url=HTTP), fetch_schema_from_transport=True)


def socket():
    return Client(transport=WebsocketsTransport(url=WS, subprotocols=[WebsocketsTransport.GRAPHQLWS_SUBPROTOCOL]))


def create(name):
    return gql_with(CREATE, {"input": {"id": name, "title": "Tides", "chunks": [{"text": "High water"}]}})


def gql_with(request, variables):
    request.variable_values = variables
    return request


async def a_document_is_written_and_read():
    async with http() as session:
        made = await session.execute(create("python"))
        assert made["createDocument"]["document"] == {"id": "python", "title": "Tides"}, made
        read = await session.execute(gql('{ document(id: "python") { chunks(first: 2) { totalCount nodes { text } } } }'))
        assert read["document"]["chunks"] == {"totalCount": 1, "nodes": [{"text": "High water"}]}, read


async def an_error_of_a_field_has_its_code_and_its_path():
    async with http() as session:
        try:
            await session.execute(gql('mutation { deleteDocument(input: { id: "nobody" }) { __typename } }'))
        except TransportQueryError as error:
            first = error.errors[0]
            assert first["extensions"]["code"] == "NOT_FOUND", first
            assert first["path"] == ["deleteDocument"], first
        else:
            raise AssertionError("nothing was raised")


async def an_export_is_followed_to_its_end_over_a_socket():
    async with socket() as session:
        started = await session.execute(gql('mutation { startSync(input: { scope: { unsynced: true } }) { job { id } } }'))
        follow = gql("subscription ($id: ID!) { syncProgress(jobId: $id) { seq job { state } } }")
        states = []
        async for event in session.subscribe(gql_with(follow, {"id": started["startSync"]["job"]["id"]})):
            states.append(event["syncProgress"]["job"]["state"])
        assert states[-1] == "COMPLETED", states


CHECKS = [
    a_document_is_written_and_read,
    an_error_of_a_field_has_its_code_and_its_path,
    an_export_is_followed_to_its_end_over_a_socket,
]

failed = 0
for one in CHECKS:
    name = one.__name__.replace("_", " ")
    try:
        asyncio.run(asyncio.wait_for(one(), 30))
        print(f"ok gql: {name}", flush=True)
    except Exception:  # noqa: BLE001: every failure is told
        failed += 1
        print(f"FAILED gql: {name}", flush=True)
        traceback.print_exc()
raise SystemExit(1 if failed else 0)
