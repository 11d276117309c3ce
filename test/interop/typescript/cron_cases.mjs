// What the official SDK makes of cron texts, as rows for sql/cron.sql: node cron_cases.mjs >cron_cases.psql
// A row: cron, zone, after, then the next times, or `error`. Zones and years are those on which the time zone databases of Node.js and of
// PostgreSQL have long agreed.
import { TimeMatcher } from '@dbos-inc/dbos-sdk/internal/scheduler/crontab';

const rows = [];
const cell = (text) => text.replaceAll('\\', '\\\\').replaceAll('\t', '\\t').replaceAll('\n', '\\n');

function times(cron, zone, after, count) {
  const matcher = new TimeMatcher(cron, zone);
  const found = [];
  for (let at = Date.parse(after); found.length < count; ) {
    const next = matcher.nextWakeupTime(at);
    if (!matcher.match(next)) break; // the SDK's horizon
    found.push(next.toISOString());
    at = next.getTime();
  }
  return found;
}

function add(cron, zone, after, count = 6) {
  let answer;
  try {
    answer = `{${times(cron, zone, after, count).join(',')}}`;
  } catch {
    answer = 'error';
  }
  rows.push([cron, zone, after, answer].map(cell).join('\t'));
}

// --- the grammar
const accepted = `* * * * *|* * * * * *|*/15 * * * *|0 * * * *|30 2 * * *|0 0 * * 0|0 0 * * 7|0 0 1 1 *|5,10,55 3,15 * * *|10-20/3 6 * * *|59 23 31 12 *
0 9-17 * * 1-5|0 22-2 * * *|50-10/5 * * * *|0 0 28-3 * *|0 0 1 11-2 *|0 0 * * 5-1|0 0 * * 5-7|0 0 * * 7-2|0 0 * * 1-7|0 0 15 * 1|0 0 13 * 5|0 12 1-7 * MON
0 0 * JAN,jul *|0 0 1 january-March *|0 0 1 DECember *|0 0 * * sun|0 0 * * Monday-friday|0 0 * * SAT,3|0 0 * may wed|0 0 L * *|0 0 LW * *|0 0 l-3 * *|0 0 L-30 * *
0 0 15W * *|0 0 1W * *|0 0 31W * *|0 0 30w * *|0 0 1,15W,L * *|0 0 * * 5L|0 0 * * friL|0 0 * * 7L|0 0 * * 5#2|0 0 * * mon#1|0 0 * * 7#5|0 0 * * 1,5#3,0L|0 0 ? * 1
0 0 1 * ?|0 0 ? * ?|0 0 29 2 *|0 0 29 2 1|0 0 30 * *|0 0 31 * *|0 0 31 1,2,3 *|@yearly|@annually|@monthly|@weekly|@daily|@midnight|@hourly| @Daily |@HOURLY
30 * * * * *|*/20 * * * * *|0 0 12 * * *|59 59 23 * * *|15,45 30 4 * * 2|0  5   *  * *|  0 5 * * *  |05 007 1 01 *|0-59/30 * * * *|0 0-99/50 * * *|5* * * * *|0 1* * * *
*/100 * * * *|0 */24 * * *|1-1 * * * *|0 0 1-31/10 * *|0 0 * */3 *|0 0 1jan * *|0 0 1 1jan *|0 0 32-1 * *|0 0 * * 0-6/2|0 0 * * 6-6|0 0 L-1,1W 2 *`;
const refused = `|* * * *|* * * * * * *|60 * * * *|* 24 * * *|0 0 0 * *|0 0 32 * *|0 0 * 0 *|0 0 * 13 *|0 0 * * 8|-1 * * * *|1- * * * *|-5 * * * *|1,,2 * * * *|,1 * * * *
1, * * * *|*/0 * * * *|*/-1 * * * *|*/x * * * *|5/15 * * * *|1-5/0 * * * *|1-5-9 * * * *|a * * * *|0 0 * foo *|0 0 * * foo|0 0 30 2 *|0 0 31 4,6,9,11 *|0 0 31 feb *|0 0 L * L
L * * * *|0 0 1-5W * *|0 0 W * *|0 0 0W * *|0 0 32W * *|0 0 L-0 * *|0 0 L-31 * *|0 0 L-L * *|0 0 * * 5#0|0 0 * * 5#6|0 0 * * 8#1|0 0 * * #1|0 0 * * 8L|0 0 5L * *|0 0 5#2 * *
? * * * *|0 ? * * *|0 0 * ? *|0 0 ?,1 * *|1.5 * * * *|1;2 * * * *|@reboot|@every 5m|@dayly|every day|60 * * * * *|0 0 0-99/33 * *|0 25-3 * * *|1 2 3 4 5 6 7|0 0 1\t* *
** * * * *|* * * * */8/2|0 0 LL * *|0 0 WL * *|0 0 15WW * *|0 0 * janfeb *|70-5 * * * *|0 99-0 * * *|éo * * * *|0 0 * * 1#2#3|* * * * *;|0x1 * * * *|1e1 * * * *|+1 * * * *`;
for (const cron of accepted.split(/[|\n]/)) add(cron, 'UTC', '2026-01-14T10:20:30.500Z');
for (const cron of refused.split(/[|\n]/)) add(cron, 'UTC', '2026-01-14T10:20:30.500Z');

// --- clocks that change: the day before each, in several rhythms
const changes = [
  ['Europe/Paris', '2026-03-28T12:00:00Z'], ['Europe/Paris', '2026-10-24T12:00:00Z'],
  ['America/New_York', '2026-03-07T12:00:00Z'], ['America/New_York', '2026-10-31T12:00:00Z'],
  ['Europe/London', '2025-03-29T18:00:00Z'], ['Europe/London', '2025-10-25T18:00:00Z'],
  ['Australia/Lord_Howe', '2025-10-04T06:00:00Z'], ['Australia/Lord_Howe', '2026-04-04T06:00:00Z'],
  ['Pacific/Chatham', '2025-09-27T03:00:00Z'], ['Pacific/Chatham', '2026-04-04T03:00:00Z'],
  ['America/Havana', '2026-03-07T12:00:00Z'], ['America/Havana', '2026-10-31T12:00:00Z'],
  ['Atlantic/Azores', '2025-03-29T12:00:00Z'], ['Atlantic/Azores', '2025-10-25T12:00:00Z'],
  ['Antarctica/Troll', '2025-03-29T12:00:00Z'], ['Antarctica/Troll', '2025-10-25T12:00:00Z'],
  ['America/Sao_Paulo', '2018-11-03T12:00:00Z'], ['America/Sao_Paulo', '2018-02-17T12:00:00Z'],
  ['Asia/Tehran', '2021-03-21T06:00:00Z'], ['Asia/Tehran', '2021-09-21T06:00:00Z'],
  ['Pacific/Apia', '2011-12-29T09:00:00Z'], ['Asia/Pyongyang', '2018-05-04T12:00:00Z'],
];
const rhythms = ['30 2 * * *', '30 0 * * *', '15 1 * * *', '0 * * * *', '*/20 0-3 * * *', '45 30 2 * * *', '0 0 * * *', '30 1,2,23 * * *', '59 59 * * * *'];
for (const [zone, after] of changes) for (const cron of rhythms) add(cron, zone, after, 8);

// --- zones without a change, and beginnings inside the repeated and the skipped hour
for (const zone of ['Asia/Kathmandu', 'Asia/Kolkata', 'Asia/Tokyo', 'Pacific/Kiritimati', 'Pacific/Marquesas', 'Etc/GMT+12', 'UTC'])
  for (const cron of ['0 0 * * *', '*/45 * * * *', '0 12 L * *', '0 9 * * 1#1']) add(cron, zone, '2025-12-31T09:59:59.999Z');
for (const after of ['2026-10-25T00:29:59.999Z', '2026-10-25T00:30:00Z', '2026-10-25T01:00:00Z', '2026-10-25T01:30:00Z', '2026-03-29T00:59:59Z', '2026-03-29T01:00:00Z'])
  for (const cron of ['30 2 * * *', '*/30 * * * *', '0 0 2,3 * * *']) add(cron, 'Europe/Paris', after);

// --- what nobody would think of: fields at random, always the same ones
let seed = 20260114;
const random = (n) => (seed = (seed * 48271) % 2147483647) % n;
const pick = (...list) => list[random(list.length)];
function field(low, high, ...more) {
  const number = () => low + random(high - low + 1);
  return pick('*', '*', `${number()}`, `${number()}-${number()}`, `*/${1 + random(12)}`, `${number()},${number()}`, `${number()}-${number()}/${1 + random(6)}`, ...more);
}
for (let i = 0; i < 150; i++) {
  const fields = [field(0, 59), field(0, 23), field(1, 31, 'L', 'LW', '15W', 'L-2', '?'), field(1, 12, 'JAN-MAR', 'sep'), field(0, 7, 'FRI', '5L', '2#3', '?')];
  if (random(3) === 0) fields.unshift(field(0, 59));
  add(fields.join(' '), pick('UTC', 'Europe/Berlin', 'America/Los_Angeles', 'Asia/Kolkata', 'Australia/Sydney'),
    new Date(Date.UTC(2024, random(12), 1 + random(28), random(24), random(60), random(60), random(1000))).toISOString(), 4);
}

process.stdout.write(`-- Written by test/interop/typescript/cron_cases.mjs with SDK 5.3.0; test/schedules compares.\nCOPY cron_cases FROM STDIN;\n${rows.join('\n')}\n\\.\n`);
