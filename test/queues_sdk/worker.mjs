// A worker on the official TypeScript SDK: worker.mjs URI APPLICATION LOG. Serves every queue that is registered, and logs when each job
// begins and ends. Writes `ready` to descriptor 3 when it takes work.
import { appendFileSync, writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { DBOS } from '@dbos-inc/dbos-sdk';

const [uri, application, log] = process.argv.slice(2);
const note = (id, edge) => appendFileSync(log, `${process.env.DBOS__VMID}\t${id}\t${edge}\t${Date.now()}\n`);

async function job(id, ms) {
  await DBOS.runStep(async () => {
    note(id, 'begin');
    await sleep(ms);
    note(id, 'end');
  }, { name: 'work' });
  return id;
}
DBOS.registerWorkflow(job, { name: 'job', serialization: 'portable' });
DBOS.registerWorkflow(async (text) => text, { name: 'echo', serialization: 'portable' });
DBOS.setConfig({ name: application, applicationVersion: `${application}-1`, systemDatabaseUrl: uri, logLevel: 'warn' });
await DBOS.launch();

process.once('SIGTERM', async () => {
  await DBOS.shutdown();
  process.exit(0);
});
writeSync(3, 'ready\n');
