// An application on a release of the official SDK: app.mjs SDK URI MODE LOG. Its workflow runs a step, waits for a message of topic `go`, and runs
// another; each step's body notes itself in the file LOG. Writes `ready` to descriptor 3, then runs until SIGTERM. MODE:
//   begin  starts workflows and waits until two run and one of three on a queue does, so that killing it leaves them in flight
//   serve  only launches, and so takes up what an executor of its name and version left
//   load   starts short workflows without end, and drains them at SIGTERM
import { appendFileSync, writeSync } from 'node:fs';

const [sdk, uri, mode, log] = process.argv.slice(2);
const { DBOS } = await import(sdk);

const note = async (step) => appendFileSync(log, `${DBOS.workflowID} ${step}\n`);
const step = (name) => DBOS.runStep(() => note(name).then(() => name), { name });

const held = DBOS.registerWorkflow(
  async (text) => {
    const first = await step('first');
    await DBOS.setEvent('state', 'waiting');
    const message = await DBOS.recv('go', 600);
    return [text, first, message, await step('second')].join(' ');
  },
  { name: 'held' },
);
const short = DBOS.registerWorkflow(async (n) => `${await step('first')} ${n} ${await step('second')}`, { name: 'short' });

DBOS.setConfig({ name: 'shop', systemDatabaseUrl: uri, logLevel: 'warn' });
await DBOS.launch();

async function begin() {
  await DBOS.registerQueue('jobs', { workerConcurrency: 1 });
  await (await DBOS.startWorkflow(short, { workflowID: 'ended' })(0)).getResult();
  for (const id of ['direct-1', 'direct-2']) await DBOS.startWorkflow(held, { workflowID: id })('x');
  for (const id of ['queued-1', 'queued-2', 'queued-3']) await DBOS.startWorkflow(held, { workflowID: id, queueName: 'jobs' })('x');
  for (const id of ['direct-1', 'direct-2', 'queued-1']) await DBOS.getEvent(id, 'state', 60);
}

let stopping = false;
async function load() {
  const results = [];
  for (let n = 0; !stopping; n++) {
    const handle = await DBOS.startWorkflow(short, { workflowID: `load-${n}` })(n);
    results.push(handle.getResult());
    if (results.length >= 8) await results.shift();
  }
  await Promise.all(results);
}

if (mode === 'begin') await begin();
const loading = mode === 'load' ? load() : Promise.resolve();
process.once('SIGTERM', async () => {
  stopping = true;
  await loading;
  await DBOS.shutdown();
  process.exit(0);
});
writeSync(3, 'ready\n');
setInterval(() => {}, 1000);
