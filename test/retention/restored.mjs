// What was archived and restored, as the official SDK sees it: restored.mjs URI APPLICATION.
import assert from 'node:assert/strict';
import { DBOSClient } from '@dbos-inc/dbos-sdk';
import { check, finish } from './tap.mjs';

const [uri, application] = process.argv.slice(2);
const client = await DBOSClient.create({ systemDatabaseUrl: uri, applicationName: application });

await check('lists all of its workflows with inputs and outputs', async () => {
  const rows = await client.listWorkflows({ workflow_id_prefix: `${application}-short-` });
  assert.equal(rows.length, 170);
  for (const row of rows) assert.deepEqual([row.status, row.output], ['SUCCESS', 2 * row.input[0] + 1]);
});
await check('reads the steps, the child and the event of a parent', async () => {
  const steps = await client.listWorkflowSteps(`${application}-parent-3`);
  assert.deepEqual(steps.map((s) => s.name), ['child', 'DBOS.sleep', 'DBOS.getResult', 'DBOS.setEvent', 'one']);
  assert.equal(steps[2].output, 7);
  assert.equal(await client.getEvent(`${application}-parent-3`, 'later', 1), 7);
});
await check('forks one from a step', async () => {
  const id = await client.forkWorkflow(`${application}-parent-3`, 3, { newWorkflowID: `${application}-fork` }).then((h) => h.workflowID ?? h);
  const steps = await client.listWorkflowSteps(id);
  assert.deepEqual(steps.map((s) => s.name), ['child', 'DBOS.sleep', 'DBOS.getResult']);
});
await check('finds the child whose result a fork from before it will ask for', async () => {
  const id = await client.forkWorkflow(`${application}-parent-4`, 1, { newWorkflowID: `${application}-early` }).then((h) => h.workflowID ?? h);
  const [start] = await client.listWorkflowSteps(id);
  assert.equal(await client.retrieveWorkflow(start.childWorkflowID).getResult(), 9);
});
await client.destroy();
finish();
