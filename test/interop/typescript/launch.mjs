// launch.mjs URI: lets the official SDK make its own system database, and nothing else.
import { DBOS } from '@dbos-inc/dbos-sdk';

DBOS.setConfig({ name: 'launch', systemDatabaseUrl: process.argv[2], logLevel: 'warn' });
await DBOS.launch();
await DBOS.shutdown();
process.exit(0);
