// An application on the official SDK; it knows nothing of dbos_sys. app.mjs URI LOG
// DBOS__VMID names the process, DBOS__APPVERSION its code. It starts ORDERS orders, AT_ONCE at a time, and works until SIGTERM.
import { appendFileSync } from 'node:fs';
import { DBOS } from '@dbos-inc/dbos-sdk';

const [uri, log] = process.argv.slice(2);
const { DBOS__VMID: name, ORDERS = '0', AT_ONCE = '5', STEP_MS = '300' } = process.env;
const note = (...words) => appendFileSync(log, `${[name, ...words].join('\t')}\n`);

const fulfil = DBOS.registerWorkflow(
  async (order) => {
    const done = [];
    for (const step of ['reserve', 'charge', 'pack', 'ship']) {
      const act = async () => {
        note('begin', order, step);
        await new Promise((resolve) => setTimeout(resolve, Number(STEP_MS)));
        note('end', order, step);
        return step;
      };
      done.push(await DBOS.runStep(act, { name: step }));
    }
    return done.join(' ');
  },
  { name: 'fulfil' },
);

DBOS.setConfig({ name: 'orders', systemDatabaseUrl: uri, logLevel: 'error' });
await DBOS.launch();
let next = 0;
async function customer() {
  while (next < Number(ORDERS)) {
    const order = `${name}-${(next += 1)}`;
    try {
      const handle = await DBOS.startWorkflow(fulfil, { workflowID: order })(order);
      note('started', order);
      await handle.getResult();
    } catch (error) {
      note('unanswered', order, String(error).split('\n')[0]);
    }
  }
}
for (let i = 0; i < Number(AT_ONCE); i += 1) customer();
process.once('SIGTERM', async () => {
  await DBOS.shutdown();
  process.exit(0);
});
note('ready');
