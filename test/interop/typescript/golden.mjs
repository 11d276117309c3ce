// The vectors on which the test suites of the official SDKs agree, from golden.json: workflow `canonicalWorkflow` of class `interop`,
// and what workflow `rejectOrder` of the same class throws for order `o1`.
import { readFileSync } from 'node:fs';

export const golden = JSON.parse(readFileSync(new URL('golden.json', import.meta.url), 'utf8'));
export const target = { workflowName: golden.workflow, workflowClassName: golden.class, queueName: golden.queue };
