// A worker on the official TypeScript SDK: worker.mjs URI APPLICATION LOG. Applies the schedule `beat`, every second, and logs what each run
// was called with. Writes `ready` to descriptor 3 when it takes work.
import { appendFileSync, writeSync } from 'node:fs';
import { DBOS } from '@dbos-inc/dbos-sdk';

const [uri, application, log] = process.argv.slice(2);
const context = { since: new Date(0), tags: new Set(['a', 'b']), nothing: undefined, text: 'ü"\n' };

const beat = DBOS.registerWorkflow(async (time, given) => {
  const right = time instanceof Date && given.since instanceof Date && given.tags instanceof Set && given.tags.has('b') && given.text === context.text;
  appendFileSync(log, `${DBOS.workflowID}\t${time.toISOString()}\t${right}\n`);
}, { name: 'beat' });
DBOS.setConfig({ name: application, applicationVersion: `${application}-1`, systemDatabaseUrl: uri, logLevel: 'warn' });
await DBOS.launch();
await DBOS.applySchedules([{ scheduleName: 'beat', workflowFn: beat, schedule: '* * * * * *', cronTimezone: 'Europe/Paris', context }]);

process.once('SIGTERM', async () => {
  await DBOS.shutdown();
  process.exit(0);
});
writeSync(3, 'ready\n');
