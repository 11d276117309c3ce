// launch.mjs SDK URI: lets a release of the official SDK make or migrate its system database, and nothing else.
const { DBOS } = await import(process.argv[2]);

DBOS.setConfig({ name: 'launch', systemDatabaseUrl: process.argv[3], logLevel: 'warn' });
await DBOS.launch();
await DBOS.shutdown();
process.exit(0);
