// The official TypeScript SDK's side of the soak: soak.mjs --database URI --rate N --seconds N --in-flight N. Does and says what soak.cpp does;
// settings as in sdk.mjs.
import readline from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { DBOS } from '@dbos-inc/dbos-sdk';

const poolSize = 20;
const { values } = parseArgs({
  options: Object.fromEntries(['database', 'rate', 'seconds', 'in-flight'].map((name) => [name, { type: 'string' }])),
});
const [rate, seconds, inFlight] = ['rate', 'seconds', 'in-flight'].map((name) => {
  const value = Number(values[name]);
  if (!Number.isInteger(value) || value < 1) throw new Error(`--${name} '${values[name]}': want a whole number above 0`);
  return value;
});
// Milliseconds of CLOCK_MONOTONIC.
const now = () => Number(process.hrtime.bigint()) / 1e6;

const workflow = DBOS.registerWorkflow(async (n) => n + (await DBOS.runStep(async () => 1, { name: 'work' })), {
  name: 'load',
  serialization: 'portable',
});

let total = 0;
let latencies = [];
let secondEnds = 0;

function report() {
  latencies.sort((a, b) => a - b);
  const quantile = (q) => latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * q))] ?? 0;
  console.log(`second ${JSON.stringify({ ended: latencies.length, p50: quantile(0.5), p99: quantile(0.99) })}`);
  latencies = [];
  secondEnds += 1000;
}

async function startAndAwait(n, due) {
  const handle = await DBOS.startWorkflow(workflow)(n);
  const result = await handle.getResult({ pollingIntervalMs: 1 });
  if (result !== n + 1) throw new Error(`workflow ${n} returned ${result}`);
  const at = now();
  while (at >= secondEnds) report();
  latencies.push(at - due);
  total += 1;
}

async function soak() {
  const begin = now();
  const end = begin + seconds * 1000;
  const underWay = new Set();
  secondEnds = begin + 1000;
  for (let n = 0; n < rate * seconds; n += 1) {
    const due = begin + (n * 1000) / rate;
    while (underWay.size >= inFlight) await Promise.race(underWay);
    if (now() >= end) break;
    if (due > now()) await sleep(due - now());
    const one = startAndAwait(n, due).finally(() => underWay.delete(one));
    underWay.add(one);
  }
  await Promise.all(underWay);
  report();
}

async function main() {
  const orders = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  DBOS.setConfig({
    name: 'bench',
    systemDatabaseUrl: values.database,
    systemDatabasePoolSize: poolSize,
    listenQueues: ['none'],
    logLevel: 'error',
  });
  await DBOS.launch();
  console.log('ready');
  await orders.next();
  await soak();
  console.log(`done ${JSON.stringify({ ended: total })}`);
  await orders.next();
  await DBOS.shutdown();
  process.exit(0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
