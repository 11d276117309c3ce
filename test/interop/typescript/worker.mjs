// A worker on the official SDK: worker.mjs URI APPLICATION [QUEUE]. Serves the golden workflows and runs until SIGTERM.
// Writes `ready` to descriptor 3 when it takes work.
import { writeSync } from 'node:fs';
import { DBOS, PortableWorkflowError } from '@dbos-inc/dbos-sdk';
import { golden } from './golden.mjs';

const [uri, application, queue = golden.queue] = process.argv.slice(2);

async function canonicalWorkflow(text, num, date, items, meta, flag, empty) {
  await DBOS.setEvent(golden.eventKey, { text, num, flag });
  await DBOS.writeStream(golden.streamKey, { item: text });
  await DBOS.closeStream(golden.streamKey);
  const received = await DBOS.recv(golden.topic, 60);
  return {
    echo_text: text,
    echo_num: num,
    echo_dt: date,
    items_count: items.length,
    meta_keys: Object.keys(meta).sort(),
    flag,
    empty,
    received,
  };
}

async function rejectOrder(orderId) {
  throw new PortableWorkflowError(golden.failure.message, golden.failure.name, golden.failure.code, { orderId });
}

for (const workflow of [canonicalWorkflow, rejectOrder]) {
  DBOS.registerWorkflow(workflow, { name: workflow.name, className: golden.class, serialization: 'portable' });
}
DBOS.setConfig({ name: application, applicationVersion: `${application}-1`, systemDatabaseUrl: uri, logLevel: 'warn' });
await DBOS.launch();
await DBOS.registerQueue(queue, { minPollingIntervalSec: 0.1 });

process.once('SIGTERM', async () => {
  await DBOS.shutdown();
  process.exit(0);
});
writeSync(3, 'ready\n');
