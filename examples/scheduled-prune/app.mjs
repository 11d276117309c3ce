// A schedule that keeps the system database small, on the official SDK: each hour a workflow whose one step calls dbos_sys.prune().
// npm install @dbos-inc/dbos-sdk@5.3.0 pg; node app.mjs URI [CRON]; ends with SIGTERM. The policies that prune() acts on are made once, in SQL:
//   SELECT dbos_sys.retain('30 days', application => 'shop'), dbos_sys.retain('7 days', workflow => 'prune');   -- its runs are rows too
import { DBOS } from '@dbos-inc/dbos-sdk';
import pg from 'pg';

const [uri, cron = '7 * * * *'] = process.argv.slice(2);

// On a session of its own and outside a transaction block: prune() commits after each batch. It returns within its budget; the next call goes
// on, and so does this one when it is repeated after a crash. While somebody else prunes it returns at once, and the note says so.
async function callPrune() {
  const session = new pg.Client({ connectionString: uri });
  await session.connect();
  try {
    const { rows } = await session.query("CALL dbos_sys.prune('10 minutes')");
    return { workflows: Number(rows[0].workflows), note: rows[0].note };
  } finally {
    await session.end();
  }
}
const prune = DBOS.registerWorkflow(async () => DBOS.runStep(callPrune, { name: 'prune' }), { name: 'prune' });

DBOS.setConfig({ name: 'shop', systemDatabaseUrl: uri, logLevel: 'warn' });
await DBOS.launch();
// With a time zone the database fires it too, under the same ids, also while no process is up.
if (!(await DBOS.getSchedule('prune')))
  await DBOS.createSchedule({ scheduleName: 'prune', workflowFn: prune, schedule: cron, options: { cronTimezone: 'UTC' } });
console.log('ready');

process.once('SIGTERM', async () => {
  await DBOS.shutdown();
  process.exit(0);
});
