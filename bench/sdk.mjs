// The official TypeScript SDK's side of the bench: sdk.mjs MODE --database URI --steps N --count N --in-flight N --warm-up N [--delay-port PORT]
// Modes, options and the talk with bench/run are those of load.cpp; README.md says why the settings are the SDK's best.
import net from 'node:net';
import readline from 'node:readline';
import { parseArgs } from 'node:util';
import { DBOS } from '@dbos-inc/dbos-sdk';

const poolSize = 20;
const pollingMs = 10;
const queue = 'bench';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: Object.fromEntries(
    ['database', 'steps', 'count', 'in-flight', 'warm-up', 'delay-port'].map((name) => [name, { type: 'string' }]),
  ),
});
const mode = positionals[0];
const number = (name) => {
  const value = Number(values[name] ?? '0');
  if (!Number.isInteger(value) || value < 0) throw new Error(`--${name} '${values[name]}': want a whole number`);
  return value;
};
const steps = number('steps');
const count = number('count');
const inFlight = number('in-flight');
const warmUp = number('warm-up');
const delayPort = number('delay-port');
if (!['direct', 'enqueue', 'drain'].includes(mode)) throw new Error(`mode '${mode}': want direct, enqueue or drain`);

// CLOCK_MONOTONIC, as bench/run's own clock.
const now = () => process.hrtime.bigint();

// ---- the server that answers late: one socket per step under way, kept for the next
const idleSockets = [];

function openSocket() {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ host: '127.0.0.1', port: delayPort, noDelay: true });
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      resolve(socket);
    });
  });
}

async function ask() {
  const socket = idleSockets.pop() ?? (await openSocket());
  const answer = await new Promise((resolve, reject) => {
    socket.once('data', (data) => {
      socket.off('error', reject);
      resolve(data.length);
    });
    socket.once('error', reject);
    socket.write('\n');
  });
  idleSockets.push(socket);
  return answer;
}

// ---- the workflow
let finished = 0;
let firstAt = 0n;
let lastAt = 0n;
let handled = () => {};

async function load(n) {
  if (firstAt === 0n) firstAt = now();
  let sum = n;
  for (let i = 1; i <= steps; i += 1) {
    sum += await DBOS.runStep(async () => (delayPort ? ask() : i), { name: 'work' });
  }
  finished += 1;
  if (finished === count) {
    lastAt = now();
    handled();
  }
  return sum;
}
const workflow = DBOS.registerWorkflow(load, { name: 'load', serialization: 'portable' });
const expected = (n) => n + (delayPort ? steps : (steps * (steps + 1)) / 2);

// Runs body(0) … body(total - 1), `width` at a time.
async function keepBusy(total, width, body) {
  let next = 0;
  const lane = async () => {
    while (next < total) {
      const n = next;
      next += 1;
      await body(n);
    }
  };
  await Promise.all(Array.from({ length: Math.min(width, total) }, lane));
}

const latencies = [];
async function startAndAwait(n) {
  const before = now();
  const handle = await DBOS.startWorkflow(workflow)(n);
  const result = await handle.getResult({ pollingIntervalMs: 1 });
  latencies.push(Number(now() - before));
  if (result !== expected(n)) throw new Error(`workflow ${n} returned ${result}, not ${expected(n)}`);
}

async function enqueue(n) {
  await DBOS.startWorkflow(workflow, { queueName: queue })(n);
}

async function drain() {
  const all = new Promise((resolve) => {
    handled = resolve;
  });
  await DBOS.registerQueue(queue, { minPollingIntervalMs: pollingMs, workerConcurrency: inFlight });
  await all;
}

const quantile = (sorted, q) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? 0;

async function main() {
  const orders = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  DBOS.setConfig({
    name: 'bench',
    systemDatabaseUrl: values.database,
    systemDatabasePoolSize: poolSize,
    listenQueues: mode === 'drain' ? [queue] : ['none'],
    logLevel: 'error',
  });
  await DBOS.launch();
  if (mode === 'enqueue') await DBOS.registerQueue('none', {});
  await keepBusy(warmUp, inFlight, startAndAwait);
  finished = 0;
  firstAt = 0n;
  latencies.length = 0;

  console.log('ready');
  await orders.next();
  const started = now();
  if (mode === 'direct') await keepBusy(count, inFlight, startAndAwait);
  else if (mode === 'enqueue') await keepBusy(count, inFlight, enqueue);
  else await drain();
  const ended = mode === 'drain' ? lastAt : now();
  latencies.sort((a, b) => a - b);
  console.log(
    `done ${JSON.stringify({
      started_ns: Number(mode === 'drain' ? firstAt : started),
      ended_ns: Number(ended),
      p50_ns: quantile(latencies, 0.5),
      p99_ns: quantile(latencies, 0.99),
    })}`,
  );

  await orders.next();
  for (const socket of idleSockets) socket.destroy();
  await DBOS.shutdown();
  process.exit(0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
