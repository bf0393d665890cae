// Every operation of the emulator through the official TypeScript client, errors included.

import assert from 'node:assert/strict';
import { Pinecone } from '@pinecone-database/pinecone';

const ADDRESS = process.env.EMULATOR;
const NAME = 'typescript';
const pc = new Pinecone({ apiKey: 'pclocal', controllerHostUrl: ADDRESS });
const kb = () => pc.index({ name: NAME, namespace: 'kb' });
const checks = [];
const check = (name, action) => checks.push([name, action]);

const ask = async (method, path, body) => {
  const answer = await fetch(ADDRESS + path, { method, body: body && JSON.stringify(body) });
  assert.equal(answer.status, 200, await answer.clone().text());
  return answer.json();
};
const refuses = (kind, part, action) =>
  assert.rejects(action, (error) => {
    assert.equal(error.name, kind, `${error.name}: ${error.message}`);
    assert.ok(error.message.includes(part), error.message);
    return true;
  });

check('an index is created and described', async () => {
  await pc.createIndex({
    name: NAME,
    dimension: 3,
    metric: 'cosine',
    spec: { serverless: { cloud: 'aws', region: 'us-east-1' } },
    tags: { app: 'corpusd' },
    waitUntilReady: true,
  });
  const told = await pc.describeIndex(NAME);
  assert.equal(told.host, `${ADDRESS}/i/${NAME}`);
  assert.equal(told.status.ready, true);
  assert.ok((await pc.listIndexes()).indexes.some((index) => index.name === NAME));
});

check('a second index of the name is a conflict, an unknown region is not found', async () => {
  const create = (name, region) => () =>
    pc.createIndex({ name, dimension: 3, metric: 'cosine', spec: { serverless: { cloud: 'aws', region } } });
  await refuses('PineconeConflictError', 'already exists', create(NAME, 'us-east-1'));
  await refuses('PineconeNotFoundError', '', create('elsewhere', 'us-west1'));
});

check('a protected index is not deleted', async () => {
  await pc.configureIndex({ name: NAME, deletionProtection: 'enabled' });
  await assert.rejects(() => pc.deleteIndex(NAME), /Deletion protection is enabled/);
  await pc.configureIndex({ name: NAME, deletionProtection: 'disabled' });
});

check('records come back as they were written', async () => {
  await kb().upsert({
    records: [
      { id: 'doc1#0', values: [0.25, 0.5, 1], metadata: { document_id: 'doc1', n: 0, tags: ['a', 'b'], ok: true } },
      { id: 'doc1#1', values: [1, 0.5, 0.25], metadata: { document_id: 'doc1', n: 1 } },
      { id: 'doc 2+&', values: [-1, 0, 0], metadata: { document_id: 'doc2', n: 2 } },
    ],
  });
  const found = await kb().fetch({ ids: ['doc1#0', 'doc 2+&', 'nowhere'] });
  assert.deepEqual(Object.keys(found.records).sort(), ['doc 2+&', 'doc1#0']);
  assert.deepEqual(found.records['doc1#0'].values, [0.25, 0.5, 1]);
  assert.deepEqual(found.records['doc1#0'].metadata, { document_id: 'doc1', n: 0, tags: ['a', 'b'], ok: true });
});

check('a query finds the nearest first, by vector and by id, behind a filter', async () => {
  const found = await kb().query({ vector: [0.25, 0.5, 1], topK: 2, includeMetadata: true, includeValues: true });
  assert.deepEqual(found.matches.map((match) => match.id), ['doc1#0', 'doc1#1']);
  assert.ok(Math.abs(found.matches[0].score - 1) < 1e-6);
  const other = await kb().query({ id: 'doc1#0', topK: 10, filter: { document_id: { $ne: 'doc1' } } });
  assert.deepEqual(other.matches.map((match) => match.id), ['doc 2+&']);
  await refuses('PineconeBadRequestError', 'filter', () =>
    kb().query({ id: 'doc1#0', topK: 10, filter: { n: { $gt: 'x' } } }),
  );
});

check('ids are listed by prefix and paged', async () => {
  const page = await kb().listPaginated({ prefix: 'doc', limit: 2 });
  assert.deepEqual(page.vectors.map((vector) => vector.id), ['doc 2+&', 'doc1#0']);
  const rest = await kb().listPaginated({ prefix: 'doc', limit: 2, paginationToken: page.pagination.next });
  assert.deepEqual(rest.vectors.map((vector) => vector.id), ['doc1#1']);
  assert.ok(!rest.pagination?.next);
});

check('records are fetched by metadata', async () => {
  const found = await kb().fetchByMetadata({ filter: { document_id: 'doc1' }, limit: 10 });
  assert.deepEqual(Object.keys(found.records), ['doc1#0', 'doc1#1']);
});

check('an update merges, by id and by filter', async () => {
  await kb().update({ id: 'doc1#1', metadata: { lang: 'en' } });
  await kb().update({ filter: { document_id: { $eq: 'doc1' } }, metadata: { seen: true } });
  const found = await kb().fetch({ ids: ['doc1#1'] });
  assert.deepEqual(found.records['doc1#1'].metadata, { document_id: 'doc1', n: 1, lang: 'en', seen: true });
});

check('stats count by namespace', async () => {
  const stats = await kb().describeIndexStats();
  assert.equal(stats.totalRecordCount, 3);
  assert.equal(stats.namespaces.kb.recordCount, 3);
  assert.equal(stats.dimension, 3);
});

check('namespaces are made, described, listed and deleted', async () => {
  await kb().createNamespace({ name: 'made' });
  await refuses('PineconeConflictError', '', () => kb().createNamespace({ name: 'made' }));
  assert.equal(Number((await kb().describeNamespace('kb')).recordCount), 3);
  const listed = (await kb().listNamespaces()).namespaces.map((space) => space.name);
  assert.deepEqual(listed, ['kb', 'made']);
  await kb().deleteNamespace('made');
  await refuses('PineconeNotFoundError', '', () => kb().describeNamespace('made'));
});

check('what is wrong with an upsert is told', async () => {
  const upsert = (record) => () => kb().upsert({ records: [record] });
  await refuses('PineconeBadRequestError', 'does not match the dimension of the index 3', upsert({ id: 'a', values: [1] }));
  await refuses('PineconeBadRequestError', 'at least one non-zero value', upsert({ id: 'a', values: [0, 0, 0] }));
  await refuses(
    'PineconeBadRequestError',
    "for field 'x'",
    upsert({ id: 'a', values: [1, 2, 3], metadata: { x: null } }),
  );
});

check('records are deleted one by one, many, by filter and all', async () => {
  await kb().deleteOne({ id: 'doc1#0' });
  await kb().deleteMany({ ids: ['nowhere'] });
  await kb().deleteMany({ filter: { document_id: 'doc2' } });
  assert.deepEqual((await kb().listPaginated()).vectors.map((vector) => vector.id), ['doc1#1']);
  await kb().deleteAll();
  assert.deepEqual((await kb().listPaginated()).vectors, []);
});

check('what is not emulated says so', async () => {
  // This client takes every status from 500 on for a passing one.
  await refuses('PineconeMaxRetriesExceededError', '', () =>
    pc.createIndexForModel({
      name: 'hosted',
      cloud: 'aws',
      region: 'us-east-1',
      embed: { model: 'multilingual-e5-large', fieldMap: { text: 'text' } },
    }),
  );
});

check('a 503 is tried again, a 429 is not', async () => {
  await ask('POST', '/_faults', { operation: 'upsert', times: 2, status: 503 });
  await kb().upsert({ records: [{ id: 'retried', values: [1, 2, 3] }] });
  await ask('POST', '/_faults', { operation: 'upsert', status: 429 });
  await refuses('PineconeUnmappedHttpError', '429', () => kb().upsert({ records: [{ id: 'b', values: [1, 2, 3] }] }));
  await ask('DELETE', '/_faults');
});

check('a reset reaches the client as a failed connection', async () => {
  await ask('POST', '/_faults', { operation: 'query', answer: 'reset' });
  await refuses('PineconeConnectionError', '', () => kb().query({ id: 'retried', topK: 1 }));
  await ask('DELETE', '/_faults');
});

check('an empty key is not let in', async () => {
  const nobody = new Pinecone({ apiKey: 'x', controllerHostUrl: ADDRESS, additionalHeaders: { 'Api-Key': '' } });
  await refuses('PineconeAuthorizationError', '', () => nobody.listIndexes());
});

check('a deleted index is gone', async () => {
  await pc.deleteIndex(NAME);
  await refuses('PineconeNotFoundError', '', () => pc.describeIndex(NAME));
});

let failed = 0;
for (const [name, action] of checks) {
  try {
    await action();
    console.log(`ok ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED ${name}`);
    console.log(error);
  }
}
process.exit(failed ? 1 : 0);
