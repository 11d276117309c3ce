// An application on the official SDK whose workflows end all the time: family.mjs URI APPLICATION. Parents ask for the results of children that have
// ended long before; the results that come back are checked.
import assert from 'node:assert/strict';
import { DBOS } from '@dbos-inc/dbos-sdk';
import { check, finish } from './tap.mjs';

const [uri, application] = process.argv.slice(2);
const parents = 30, short = 170;

const child = DBOS.registerWorkflow(async (n) => {
  const doubled = await DBOS.runStep(async () => 2 * n, { name: 'double' });
  return await DBOS.runStep(async () => doubled + 1, { name: 'add' });
}, { name: 'child' });

const parent = DBOS.registerWorkflow(async (n) => {
  const handle = await DBOS.startWorkflow(child)(n);
  await DBOS.sleep(9000);
  const later = await handle.getResult();
  await DBOS.setEvent('later', later);
  return later + await DBOS.runStep(async () => 1, { name: 'one' });
}, { name: 'parent' });

const shared = `${application}-shared`;
const first = DBOS.registerWorkflow(async () => {
  await DBOS.startWorkflow(child, { workflowID: shared })(3);
  return await DBOS.runStep(async () => 1, { name: 'one' });
}, { name: 'first' });
const second = DBOS.registerWorkflow(async () => {
  const handle = await DBOS.startWorkflow(child, { workflowID: shared })(3);
  await DBOS.sleep(9000);
  return await handle.getResult();
}, { name: 'second' });

DBOS.setConfig({ name: application, applicationVersion: `${application}-1`, systemDatabaseUrl: uri, logLevel: 'warn' });
await DBOS.launch();
await check('gets the result of each short workflow', async () => {
  for (let at = 0; at < short; at += 10) {
    const handles = await Promise.all([...Array(10).keys()].map((n) => DBOS.startWorkflow(child, { workflowID: `${application}-short-${at + n}` })(at + n)));
    for (const [n, handle] of handles.entries()) assert.equal(await handle.getResult(), 2 * (at + n) + 1);
  }
});
await DBOS.startWorkflow(first, { workflowID: `${application}-first` })().then((handle) => handle.getResult());
const waits = await DBOS.startWorkflow(second, { workflowID: `${application}-second` })();
await check('gets the results of parents that asked for those of children who ended nine seconds before', async () => {
  const handles = await Promise.all([...Array(parents).keys()].map((n) => DBOS.startWorkflow(parent, { workflowID: `${application}-parent-${n}` })(n)));
  for (const [n, handle] of handles.entries()) assert.equal(await handle.getResult(), 2 * n + 2);
});
await check('gets the result of a child that another workflow had started first, nine seconds after it ended', async () => {
  const late = new Promise((resolve) => { setTimeout(resolve, 30000, 'not within 30 s').unref(); });
  assert.equal(await Promise.race([waits.getResult(), late]), 7);
});
await DBOS.shutdown();
finish();
