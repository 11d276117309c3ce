// Results of a Node.js part of a test: one line `ok - name` or `not ok - name` each, numbered by the script that runs it.
let failures = 0;

export async function check(name, body) {
  try {
    await body();
    console.log(`ok - ${name}`);
    return true;
  } catch (error) {
    failures += 1;
    console.log(`not ok - ${name}`);
    console.error(error);
    return false;
  }
}

// The exit status tells a crash (before finish) from a failed check.
export function finish() {
  process.exit(failures === 0 ? 0 : 1);
}
