// An application on the official SDK whose step stays within a limit. app.mjs URI SERVICE-URL; ends with SIGTERM.
// AT_ONCE workflows at a time call the service under the limit LIMIT, one tenant after the other.
import { DBOS } from '@dbos-inc/dbos-sdk';
import pg from 'pg';
import { limited } from './limited.mjs';

const [uri, service] = process.argv.slice(2);
const { AT_ONCE = '10', LIMIT = 'stripe', TENANTS = '10', MS = '0' } = process.env;
const pool = new pg.Pool({ connectionString: uri, max: 4 });

const charge = limited(pool, LIMIT, async (tenant) => {
  const reply = await fetch(`${service}/call?who=ts&key=${tenant}&ms=${MS}`);
  await reply.text();
  return reply.status;
}, { key: (tenant) => tenant });

const order = DBOS.registerWorkflow(async (tenant) => DBOS.runStep(() => charge(tenant), { name: 'charge' }), { name: 'order' });

DBOS.setConfig({ name: 'limits-node', systemDatabaseUrl: uri, logLevel: 'error' });
await DBOS.launch();
let stopped = false;
let next = 0;
async function customer() {
  while (!stopped) await (await DBOS.startWorkflow(order)(`tenant-${(next += 1) % Number(TENANTS)}`)).getResult();
}
const customers = Array.from({ length: Number(AT_ONCE) }, customer);
console.log('ready');
process.once('SIGTERM', async () => {
  stopped = true;
  await Promise.allSettled(customers);
  await DBOS.shutdown();
  await pool.end();
});
