// A client on the official TypeScript SDK: client.mjs URI APPLICATION create NAME | backfill NAME FROM TO | trigger NAME | list. Prints ids, or names.
import { DBOSClient } from '@dbos-inc/dbos-sdk';

const [uri, applicationName, verb, name, from, to] = process.argv.slice(2);
const client = await DBOSClient.create({ systemDatabaseUrl: uri, applicationName });
if (verb === 'create') {
  await client.createSchedule({ scheduleName: name, workflowName: 'nobody', schedule: '0 5 1 1 *', context: { since: new Date(0), tags: ['a'] } });
}
if (verb === 'backfill') for (const handle of await client.backfillSchedule(name, new Date(from), new Date(to))) console.log(handle.workflowID);
if (verb === 'trigger') console.log((await client.triggerSchedule(name)).workflowID);
if (verb === 'list') for (const schedule of await client.listSchedules()) console.log(`${schedule.scheduleName} ${schedule.schedule} ${JSON.stringify(schedule.context)}`);
await client.destroy();
