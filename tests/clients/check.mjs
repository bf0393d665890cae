// The GraphQL edge through clients that others wrote: queries, mutations, subscriptions, and what they make of errors.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { ApolloClient, ApolloLink, CombinedGraphQLErrors, HttpLink, InMemoryCache, gql } from '@apollo/client';
import { PersistedQueryLink } from '@apollo/client/link/persisted-queries';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { Client, cacheExchange, fetchExchange, subscriptionExchange } from '@urql/core';
import { serverAudits } from 'graphql-http';
import { createClient as createSse } from 'graphql-sse';
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';

const HTTP = `${process.env.SERVER}/graphql`;
const WS = HTTP.replace('http', 'ws');
const checks = [];
const check = (name, action) => checks.push([name, action]);

const CREATE = `mutation Create($input: CreateDocumentInput!) { createDocument(input: $input) { document { __typename id title } } }`;
const READ = `query Read($id: ID!) {
  document(id: $id) { __typename id title chunks(first: 5) { nodes { __typename id text embeddings { __typename id vector } } } }
}`;
const EVENTS = `subscription Events { corpusEvents { cursor kind id } }`;
const document = (id, title = 'Tides') => ({
  input: { id, title, chunks: [{ text: 'High water', embeddings: [{ vector: [0.5, -0.25], model: 'm' }] }] },
});
const sockets = () => createClient({ url: WS, webSocketImpl: WebSocket, lazy: true, retryAttempts: 0 });
const wait = (promise, what) =>
  Promise.race([promise, new Promise((_, no) => setTimeout(() => no(new Error(`${what} did not come`)), 20_000).unref())]);

// ------------------------------------------------------------- graphql-http
for (const audit of serverAudits({ url: HTTP, fetchFn: fetch })) {
  check(`graphql-http ${audit.id} ${audit.name}`, async () => {
    const result = await audit.fn();
    assert.equal(result.status, 'ok', result.reason);
  });
}

// ------------------------------------------------------------ Apollo Client
const apollo = () => {
  const socket = sockets();
  const link = ApolloLink.split(
    ({ operationType }) => operationType === 'subscription',
    new GraphQLWsLink(socket),
    new HttpLink({ uri: HTTP }),
  );
  return { client: new ApolloClient({ link, cache: new InMemoryCache() }), socket };
};

check('Apollo Client writes, reads and normalises what it read', async () => {
  const { client } = apollo();
  const made = await client.mutate({ mutation: gql(CREATE), variables: document('apollo') });
  assert.equal(made.data.createDocument.document.title, 'Tides');
  const read = await client.query({ query: gql(READ), variables: { id: 'apollo' } });
  assert.deepEqual(read.data.document.chunks.nodes[0].embeddings[0].vector, [0.5, -0.25]);
  assert.equal(client.cache.extract()['Document:apollo'].title, 'Tides');
});

check('Apollo Client finds code and path in an error of a field', async () => {
  const { client } = apollo();
  const mutation = gql('mutation { deleteDocument(input: { id: "nobody" }) { __typename } }');
  await assert.rejects(client.mutate({ mutation }), (error) => {
    assert.ok(CombinedGraphQLErrors.is(error), String(error));
    assert.equal(error.errors[0].extensions.code, 'NOT_FOUND');
    assert.deepEqual(error.errors[0].path, ['deleteDocument']);
    return true;
  });
});

check('Apollo Client follows a subscription over a WebSocket', async () => {
  const { client, socket } = apollo();
  const opened = new Promise((yes) => socket.on('connected', yes));
  const first = new Promise((next, error) => client.subscribe({ query: gql(EVENTS) }).subscribe({ next, error }));
  await wait(opened, 'the connection');
  const event = await until(first, () => client.mutate({ mutation: gql(CREATE), variables: document(fresh()) }));
  assert.equal(event.data.corpusEvents.kind, 'DOCUMENT_CREATED');
  await socket.dispose();
});

check('Apollo Client follows a subscription over multipart/mixed', async () => {
  const client = new ApolloClient({ link: new HttpLink({ uri: HTTP }), cache: new InMemoryCache() });
  let stop;
  const first = new Promise((next, error) => {
    stop = client.subscribe({ query: gql(EVENTS) }).subscribe({ next, error });
  });
  const event = await until(first, () => client.mutate({ mutation: gql(CREATE), variables: document(fresh()) }));
  assert.equal(event.data.corpusEvents.kind, 'DOCUMENT_CREATED');
  stop.unsubscribe();
});

for (const useGETForHashedQueries of [false, true]) {
  const way = useGETForHashedQueries ? 'GET' : 'POST';
  check(`Apollo Client sends a document once and its hash from then on, by ${way}`, async () => {
    const sent = [];
    const counting = (uri, options) => {
      sent.push([options.method, /"query":|[?&]query=/.test(`${uri}${options.body ?? ''}`)]);
      return fetch(uri, options);
    };
    const sha256 = (text) => createHash('sha256').update(text).digest('hex');
    const link = new PersistedQueryLink({ sha256, useGETForHashedQueries }).concat(new HttpLink({ uri: HTTP, fetch: counting }));
    const client = new ApolloClient({ link, cache: new InMemoryCache(), defaultOptions: { query: { fetchPolicy: 'no-cache' } } });
    const query = gql(`query Named${way} { server { name } }`);
    for (let times = 0; times < 3; times += 1) {
      assert.equal((await client.query({ query })).data.server.name, 'corpusd');
    }
    // The hash, which is not known; the document with it; the hash, and the hash.
    assert.deepEqual(sent.map(([method]) => method), [way, 'POST', way, way]);
    assert.deepEqual(sent.map(([, whole]) => whole), [false, true, false, false]);
  });
}

// --------------------------------------------------------------------- urql
check('urql writes, reads and follows a subscription', async () => {
  const socket = sockets();
  const forward = (operation) => ({
    subscribe: (sink) => ({ unsubscribe: socket.subscribe({ ...operation, query: operation.query ?? '' }, sink) }),
  });
  const client = new Client({
    url: HTTP,
    preferGetMethod: false,
    exchanges: [cacheExchange, fetchExchange, subscriptionExchange({ forwardSubscription: forward })],
  });
  const made = await client.mutation(CREATE, document('urql')).toPromise();
  assert.equal(made.error, undefined);
  const read = await client.query(READ, { id: 'urql' }).toPromise();
  assert.equal(read.data.document.chunks.nodes[0].text, 'High water');
  const refused = await client.query('{ nothing }', {}).toPromise();
  assert.equal(refused.error.graphQLErrors[0].extensions.code, 'GRAPHQL_VALIDATION_FAILED');
  const first = new Promise((next) => client.subscription(EVENTS, {}).subscribe(next));
  const event = await until(first, () => client.mutation(CREATE, document(fresh())).toPromise());
  assert.equal(event.data.corpusEvents.kind, 'DOCUMENT_CREATED');
  await socket.dispose();
});

check('urql asks queries by GET', async () => {
  const client = new Client({ url: HTTP, preferGetMethod: 'force', exchanges: [fetchExchange] });
  const read = await client.query(READ, { id: 'urql' }).toPromise();
  assert.equal(read.data.document.title, 'Tides');
});

// --------------------------------------------------------------- graphql-ws
check('graphql-ws follows an export to its end', async () => {
  const socket = sockets();
  const ask = async (query, variables) => {
    for await (const result of socket.iterate({ query, variables })) return result;
    throw new Error('no answer');
  };
  await ask(CREATE, document('ws'));
  const started = await ask('mutation { startSync(input: { scope: { documentId: "ws" } }) { job { id } } }');
  const query = 'subscription ($id: ID!) { syncProgress(jobId: $id) { seq job { state done } } }';
  const seen = [];
  for await (const result of socket.iterate({ query, variables: { id: started.data.startSync.job.id } })) {
    seen.push(result.data.syncProgress);
  }
  assert.equal(seen.at(-1).job.state, 'COMPLETED');
  assert.equal(seen.at(-1).job.done, 1);
  seen.slice(1).forEach((event, i) => assert.equal(event.seq, seen[i].seq + 1));
  await socket.dispose();
});

check('graphql-ws gets the errors of a query that does not fit the schema as a list', async () => {
  const socket = sockets();
  const refused = new Promise((next, error) => socket.subscribe({ query: '{ nothing }' }, { next, error, complete() {} }));
  await assert.rejects(wait(refused, 'the refusal'), (errors) => {
    assert.equal(errors[0].extensions.code, 'GRAPHQL_VALIDATION_FAILED');
    return true;
  });
  await socket.dispose();
});

// -------------------------------------------------------------- graphql-sse
check('graphql-sse follows an export to its end', async () => {
  const client = createSse({ url: HTTP, retryAttempts: 0 });
  const ask = async (query, variables) => {
    for await (const result of client.iterate({ query, variables })) return result;
    throw new Error('no answer');
  };
  await ask(CREATE, document('sse'));
  const started = await ask('mutation { startSync(input: { scope: { documentId: "sse" } }) { job { id } } }');
  const query = 'subscription ($id: ID!) { syncProgress(jobId: $id) { seq job { state done } } }';
  const seen = [];
  for await (const result of client.iterate({ query, variables: { id: started.data.startSync.job.id } })) {
    seen.push(result.data.syncProgress);
  }
  assert.equal(seen.at(-1).job.state, 'COMPLETED');
  client.dispose();
});

check('graphql-sse gets the errors of a query that does not fit the schema as an answer', async () => {
  const client = createSse({ url: HTTP, retryAttempts: 0 });
  for await (const result of client.iterate({ query: '{ nothing }' })) {
    assert.equal(result.errors[0].extensions.code, 'GRAPHQL_VALIDATION_FAILED');
  }
  client.dispose();
});

const closed = (messages, protocol = 'graphql-transport-ws') =>
  new Promise((yes, no) => {
    const socket = new WebSocket(WS, protocol);
    socket.on('open', () => messages.forEach((message) => socket.send(typeof message === 'string' ? message : JSON.stringify(message))));
    socket.on('close', (code, reason) => yes([code, reason.toString()]));
    socket.on('error', no);
  });
const init = { type: 'connection_init' };
const follow = { type: 'subscribe', id: 'a', payload: { query: EVENTS } };
for (const [what, code, messages] of [
  ['no JSON', 4400, ['{']],
  ['a message of no kind', 4400, [{ type: 'hello' }]],
  ['a subscription before the initialisation', 4401, [follow]],
  ['two subscriptions of one id', 4409, [init, follow, follow]],
  ['a second initialisation', 4429, [init, init]],
]) {
  check(`a socket is closed with ${code} for ${what}`, async () => {
    assert.equal((await wait(closed(messages), 'the end'))[0], code);
  });
}

// ------------------------------------------------------------------- to run
let number = 0;
const fresh = () => `made-${process.pid}-${(number += 1)}`;

/// Acts until the promise is kept: a subscription begins at some moment after it was asked for.
async function until(promise, act) {
  let kept = false;
  promise.finally(() => (kept = true)).catch(() => {});
  for (let tries = 0; tries < 100 && !kept; tries += 1) {
    await act();
    await Promise.race([promise, new Promise((yes) => setTimeout(yes, 100))]);
  }
  return wait(promise, 'an event');
}

let failed = 0;
for (const [name, action] of checks) {
  try {
    await action();
    console.log(`ok ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED ${name}\n${error.stack ?? JSON.stringify(error)}`);
  }
}
process.exit(failed ? 1 : 0);
