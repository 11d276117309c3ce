// limited(pool, 'stripe', charge, { key }): the function under a limit that all processes and languages share; for step bodies.
import { setTimeout as sleep } from 'node:timers/promises';

const unlessForgotten = (error) => { if (error.code !== 'WF041') throw error; };
export const limited = (pool, name, body, { key = () => '', lease = '30 s' } = {}) => async (...args) => {
  const ask = 'SELECT * FROM dbos_sys.acquire($1, key => $2, ticket => $3, lease => $4)';
  let answer = { ticket: null };
  while (!answer.granted) {
    const reply = await pool.query(ask, [name, key(...args), answer.ticket, lease]).catch(unlessForgotten);
    answer = reply?.rows[0] ?? { ticket: null, wait_ms: 0 };
    await sleep(Number(answer.wait_ms));
  }
  try {
    return await body(...args);
  } finally {
    if (answer.ticket) await pool.query('SELECT dbos_sys.release($1)', [answer.ticket]).catch(unlessForgotten);
  }
};
