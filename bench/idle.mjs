// The other systems' side of the idle case: idle.mjs sdk|sdk-10ms|pg-boss|graphile-worker --database URI --count N --pause-ms N. As idle.cpp.
// Each is set to what it is quickest with, but for `sdk`, which polls as it does unless it is told.
import readline from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: Object.fromEntries(['database', 'count', 'pause-ms'].map((name) => [name, { type: 'string' }])),
});
const count = Number(values.count);
const pauseMs = Number(values['pause-ms']);
const now = () => process.hrtime.bigint();

let begun = () => {};
const job = () => begun(now());

// Each: starts the worker, and returns how a job is enqueued and how all ends.
async function dbos(minPollingIntervalMs) {
  const { DBOS } = await import('@dbos-inc/dbos-sdk');
  const workflow = DBOS.registerWorkflow(async () => job(), { name: 'job', serialization: 'portable' });
  DBOS.setConfig({ name: 'bench', systemDatabaseUrl: values.database, logLevel: 'error' });
  await DBOS.launch();
  await DBOS.registerQueue('idle', { minPollingIntervalMs });
  return { enqueue: () => DBOS.startWorkflow(workflow, { queueName: 'idle' })(), stop: () => DBOS.shutdown() };
}

async function pgBoss() {
  const { PgBoss } = await import('pg-boss');
  const boss = new PgBoss(values.database);
  await boss.start();
  await boss.createQueue('idle');
  await boss.work('idle', { pollingIntervalSeconds: 0.5 }, async () => job());
  return { enqueue: () => boss.send('idle', {}), stop: () => boss.stop() };
}

async function graphile() {
  const { run, Logger } = await import('graphile-worker');
  const logger = new Logger(() => () => {});
  const runner = await run({ connectionString: values.database, taskList: { idle: async () => job() }, logger, noHandleSignals: true });
  return { enqueue: () => runner.addJob('idle', {}), stop: () => runner.stop() };
}

const systems = { sdk: () => dbos(1000), 'sdk-10ms': () => dbos(10), 'pg-boss': pgBoss, 'graphile-worker': graphile };

async function main() {
  const orders = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  const system = await systems[positionals[0]]();
  console.log('ready');
  await orders.next();
  const latencies = [];
  for (let n = 0; n < count; n += 1) {
    await sleep(pauseMs + (n % 17));
    const first = new Promise((resolve) => {
      begun = resolve;
    });
    const before = now();
    await system.enqueue();
    latencies.push(Number((await first) - before));
  }
  console.log(`done ${JSON.stringify({ latencies_ns: latencies })}`);
  await orders.next();
  await system.stop();
  process.exit(0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
