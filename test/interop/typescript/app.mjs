// An application on the official SDK: app.mjs URI APPLICATION. Launches (which migrates where it is due) and uses every durable feature once.
import assert from 'node:assert/strict';
import { DBOS } from '@dbos-inc/dbos-sdk';
import { check, finish } from './tap.mjs';

const [uri, application] = process.argv.slice(2);

const child = DBOS.registerWorkflow(async (text) => DBOS.runStep(async () => text.toUpperCase(), { name: 'shout' }), { name: 'child' });

const everything = DBOS.registerWorkflow(
  async (text) => {
    const length = await DBOS.runStep(async () => text.length, { name: 'measure' });
    await DBOS.setEvent('length', length);
    await DBOS.writeStream('words', text);
    await DBOS.closeStream('words');
    await DBOS.sleep(50);
    const handle = await DBOS.startWorkflow(child)(text);
    const message = await DBOS.recv('greeting', 30);
    return { length, shouted: await handle.getResult(), message };
  },
  { name: 'everything' },
);

const stumbling = DBOS.registerWorkflow(
  async () => DBOS.runStep(async () => { throw new Error('the step fails'); }, { name: 'stumble' }),
  { name: 'stumbling' },
);

const queued = DBOS.registerWorkflow(async (n) => n * 2, { name: 'queued' });

DBOS.setConfig({ name: application, applicationVersion: `${application}-1`, systemDatabaseUrl: uri, logLevel: 'warn' });
if (!(await check('the SDK launches', () => DBOS.launch()))) finish();

await check('a workflow with step, event, stream, sleep, child and message completes', async () => {
  const handle = await DBOS.startWorkflow(everything, { workflowID: `${application}-everything` })('durable');
  assert.equal(await DBOS.getEvent(handle.workflowID, 'length', 30), 7);
  const words = [];
  for await (const word of DBOS.readStream(handle.workflowID, 'words')) words.push(word);
  assert.deepEqual(words, ['durable']);
  await DBOS.send(handle.workflowID, { from: 'test' }, 'greeting');
  assert.deepEqual(await handle.getResult(), { length: 7, shouted: 'DURABLE', message: { from: 'test' } });
  const steps = await DBOS.listWorkflowSteps(handle.workflowID);
  assert.deepEqual(steps.map((s) => s.name), [
    'measure', 'DBOS.setEvent', 'DBOS.writeStream', 'DBOS.closeStream', 'DBOS.sleep', 'child', 'DBOS.recv', 'DBOS.sleep', 'DBOS.getResult',
  ]);
});

await check('a failed step fails its workflow with the recorded error', async () => {
  const handle = await DBOS.startWorkflow(stumbling)();
  await assert.rejects(handle.getResult(), /the step fails/);
});

await check('a queue is registered and drained', async () => {
  await DBOS.registerQueue(`${application}-queue`, { minPollingIntervalSec: 0.1, workerConcurrency: 2 });
  const handles = [];
  for (let n = 0; n < 5; n += 1) {
    handles.push(await DBOS.startWorkflow(queued, { queueName: `${application}-queue` })(n));
  }
  const results = [];
  for (const handle of handles) results.push(await handle.getResult());
  assert.deepEqual(results, [0, 2, 4, 6, 8]);
});

await check('a finished workflow is forked from a step', async () => {
  const forked = await DBOS.forkWorkflow(`${application}-everything`, 8);
  assert.deepEqual(await forked.getResult(), { length: 7, shouted: 'DURABLE', message: { from: 'test' } });
});

await DBOS.shutdown();
finish();
