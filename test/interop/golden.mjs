// The vectors on which the test suites of the official SDKs agree: workflow `canonicalWorkflow` of class `interop`.
// Every language's worker has to run it and every language's client has to read it.
export const queue = 'interopq';
export const target = { workflowName: 'canonicalWorkflow', workflowClassName: 'interop', queueName: queue };
export const topic = 'interop_topic';
export const eventKey = 'interop_event';
export const streamKey = 'interop_stream';

export const arguments_ = [
  'hello-interop',
  42,
  '2025-06-15T10:30:00.000Z',
  ['alpha', 'beta', 'gamma'],
  { key1: 'value1', key2: 99, nested: { deep: true } },
  true,
  null,
];
export const message = { sender: 'test', payload: [1, 2, 3] };
export const event = { text: 'hello-interop', num: 42, flag: true };
export const streamItem = { item: 'hello-interop' };
export const output = {
  echo_text: 'hello-interop',
  echo_num: 42,
  echo_dt: '2025-06-15T10:30:00.000Z',
  items_count: 3,
  meta_keys: ['key1', 'key2', 'nested'],
  flag: true,
  empty: null,
  received: message,
};

// What workflow `rejectOrder` of the same class throws for order `o1`.
export const failure = { name: 'NotFoundError', message: 'Order not found', code: 404, data: { orderId: 'o1' } };
