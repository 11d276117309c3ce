// What a program on the official TypeScript SDK does with queues, one call each; prints the workflow's id or the error's name.
//   client.mjs URI APPLICATION debounce KEY TEXT DELAY_MS
//   client.mjs URI APPLICATION enqueue QUEUE DEDUPLICATION_ID return-existing|reject
//   client.mjs URI APPLICATION burst QUEUE COUNT     enqueues one after the other ends
//   client.mjs URI APPLICATION queue NAME            its limits, as the SDK sees them
import { setTimeout as sleep } from 'node:timers/promises';
import { DBOSClient, DebouncerClient } from '@dbos-inc/dbos-sdk';

const [uri, application, verb, ...rest] = process.argv.slice(2);
const client = await DBOSClient.create({ systemDatabaseUrl: uri, applicationName: application });

const verbs = {
  async debounce(key, text, delay) {
    const debouncer = new DebouncerClient(client, { workflowName: 'echo', serializationType: 'portable', debounceTimeoutMs: 3600000 });
    return (await debouncer.debounce(key, Number(delay), text)).workflowID;
  },
  async enqueue(queueName, deduplicationID, duplicationPolicy) {
    const options = { workflowName: 'echo', queueName, deduplicationID, serializationType: 'portable' };
    return (await client.enqueue({ ...options, ...(duplicationPolicy === 'reject' ? {} : { duplicationPolicy }) }, 'x')).workflowID;
  },
  async burst(queueName, count) {
    for (let n = 1; n <= Number(count); n += 1) {
      const workflowID = `sdk-${n}`;
      const handle = await client.enqueue({ workflowName: 'echo', queueName, workflowID, serializationType: 'portable' }, 'x');
      while (['ENQUEUED', 'PENDING'].includes((await handle.getStatus()).status)) await sleep(20);
    }
    return count;
  },
  async queue(name) {
    const queue = await client.retrieveQueue(name);
    return JSON.stringify({ concurrency: await queue.getGlobalConcurrency(), workerConcurrency: await queue.getWorkerConcurrency() });
  },
};
try {
  console.log(await verbs[verb](...rest));
} catch (error) {
  console.log(`${error.constructor.name}`);
}
await client.destroy();
