// A client on the official SDK: client.mjs URI APPLICATION ID. Enqueues the golden workflows for whatever worker serves them.
import assert from 'node:assert/strict';
import { DBOSClient, PortableWorkflowError } from '@dbos-inc/dbos-sdk';
import { golden, target } from './golden.mjs';
import { check, finish } from './tap.mjs';

const [uri, application, id] = process.argv.slice(2);
const client = await DBOSClient.create({ systemDatabaseUrl: uri, applicationName: application });

const handle = await client.enqueuePortable({ ...target, workflowID: id }, golden.arguments);

await check('reads the event that it set', async () => {
  assert.deepEqual(await client.getEvent(id, golden.eventKey, 30), golden.event);
});
await check('reads the stream that it wrote, and sees its end', async () => {
  const values = [];
  for await (const value of client.readStream(id, golden.streamKey)) values.push(value);
  assert.deepEqual(values, [golden.streamItem]);
});
await check('a message reaches it and the result comes back', async () => {
  await client.send(id, golden.message, golden.topic, 'once', { serializationType: 'portable' });
  await client.send(id, golden.message, golden.topic, 'once', { serializationType: 'portable' });
  assert.deepEqual(await handle.getResult(), golden.output);
});
await check('an error comes back with name, message, code and data', async () => {
  const rejected = await client.enqueuePortable({ ...target, workflowName: golden.failing, workflowID: `${id}-rejected` }, ['o1']);
  const error = await rejected.getResult().then(() => assert.fail('the workflow did not fail'), (e) => e);
  assert.ok(error instanceof PortableWorkflowError, `got ${error}`);
  assert.deepEqual({ name: error.name, message: error.message, code: error.code, data: error.data }, golden.failure);
});
await check('the workflow is listed with its inputs and output', async () => {
  const [row] = await client.listWorkflows({ workflowIDs: [id] });
  assert.equal(row.status, 'SUCCESS');
  assert.deepEqual(row.input, golden.arguments);
  assert.deepEqual(row.output, golden.output);
});

await client.destroy();
finish();
