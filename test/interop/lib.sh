# Sourced by the tests that run an official SDK: numbered results, a private server, the SDK itself.
# Everything that a test makes lies under $work; stop_all ends what it started.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
interop=$root/test/interop
cluster=$root/scripts/cluster
installed=${SDK_DIR:-$root/build/interop}
application=dbos_sys_interop

tap_count=0
tap_failures=0

# ok NAME / not_ok NAME [reason]
ok() { tap_count=$((tap_count + 1)); printf 'ok %d - %s\n' "$tap_count" "$1"; }
not_ok() {
	tap_count=$((tap_count + 1))
	tap_failures=$((tap_failures + 1))
	printf 'not ok %d - %s\n' "$tap_count" "$1"
	[[ -z ${2:-} ]] || sed 's/^/#   /' <<<"$2"
}

# equal NAME GOT WANTED
equal() {
	if [[ $2 == "$3" ]]; then ok "$1"; else not_ok "$1" "$(printf 'got:    %s\nwanted: %s' "$2" "$3")"; fi
}

# same_file NAME A B
same_file() {
	local difference
	if difference=$(diff -u "$2" "$3"); then ok "$1"; else not_ok "$1" "$(head -n 40 <<<"$difference")"; fi
}

# Runs a program that prints `ok - name` lines and numbers them; one that dies before its end is a failure by itself.
part() { # NAME command...
	local name=$1 line status
	shift
	timeout 180 "$@" >"$work/part.out" 2>"$work/part.err" && status=0 || status=$?
	while IFS= read -r line; do
		case $line in
			'ok - '*) ok "$name: ${line#ok - }" ;;
			'not ok - '*) not_ok "$name: ${line#not ok - }" "$(tail -n 30 "$work/part.err")" ;;
		esac
	done <"$work/part.out"
	grep -q '^\(not \)\?ok - ' "$work/part.out" || status=$((status == 0 ? 1 : status))
	((status == 0)) || grep -q '^not ok - ' "$work/part.out" ||
		not_ok "$name runs to its end" "$(printf 'exit %s\n' "$status"; tail -n 30 "$work/part.err")"
}

tap_end() {
	printf '1..%d\n' "$tap_count"
	((tap_failures == 0))
}

# --- processes --------------------------------------------------------------
declare -A process_of=()

# Starts a program; returns when it says `ready`. Its descriptor 3 carries that word, the rest goes to $work/NAME.log.
start_process() { # NAME command...
	local name=$1 line='' fifo=$work/$1.ready
	shift
	mkfifo "$fifo"
	"$@" 3>"$fifo" >"$work/$name.log" 2>&1 &
	process_of[$name]=$!
	read -r -t 60 line <"$fifo" || true
	rm -f "$fifo"
	if [[ $line != ready ]]; then
		tail -n 20 "$work/$name.log" | sed 's/^/# /'
		return 1
	fi
}

# stop_process NAME [SIGNAL]: one that does not end within half a minute is killed, and counts as a failure.
stop_process() {
	local pid=${process_of[$1]:-}
	[[ -n $pid ]] || return 0
	unset "process_of[$1]"
	kill "-${2:-TERM}" "$pid" 2>/dev/null || true
	if ! timeout 30 tail --pid="$pid" -s 0.1 -f /dev/null; then
		not_ok "$1 ends when it is told to"
		kill -KILL "$pid"
	fi
	wait "$pid" 2>/dev/null || true
}

stop_all() {
	local name
	for name in "${!process_of[@]}"; do stop_process "$name" KILL; done
	"$cluster" destroy "$server" >/dev/null 2>&1 || true
	rm -rf "$work"
}

# --- server and SDKs --------------------------------------------------------
# Starts the private server $server with the extension installed. Sets BINDIR, LOG, PGHOST, PGPORT.
start_server() { # options of scripts/cluster start
	work=$(mktemp -d)
	trap stop_all EXIT
	"$cluster" prepare
	"$cluster" start "$server" --owner $$ "$@"
	eval "$("$cluster" env "$server")"
	export PGHOST PGPORT
}

# Takes the SDK of test/interop/LANGUAGE, which sdk.sh there installs into $sdk, pinned, or as version $SDK_VERSION. Sets title, and
# `program NAME argument...` puts what runs one of its programs into the array $command:
#   launch URI                      makes or migrates the tables, and nothing else
#   app URI APPLICATION             runs workflows of its own; prints results
#   worker URI APPLICATION [QUEUE]  serves the golden workflows until SIGTERM; says `ready` on descriptor 3
#   client URI APPLICATION ID       enqueues the golden workflows for whatever worker serves them; prints results
use_sdk() { # LANGUAGE
	language=$1
	sdk=$installed/$1
	command=()
	source "$interop/$1/sdk.sh"
	mkdir -p "$sdk"
	# In the background: after `||` errexit would not hold in it.
	(
		flock 9
		install_sdk
	) 9>"$sdk/.lock" >"$work/install.log" 2>&1 &
	wait $! && return
	tail -n 40 "$work/install.log" >&2
	printf 'Bail out! the %s SDK is not installed\n' "$title"
	exit 1
}

# For tests of other things that need some official SDK. Its programs are run as `"$node" "$sdk/worker.mjs"`.
need_sdk() { use_sdk typescript; }

# uri ROLE DATABASE
uri() { printf 'postgresql://%s@%s:%s/%s\n' "$1" "${PGHOST//\//%2F}" "$PGPORT" "$2"; }

# The same for an official SDK's programs: not every driver knows sockets. `start_server --tcp`, and $app_password as the role's password.
app_password=app
sdk_uri() { printf 'postgresql://app:%s@127.0.0.1:%s/%s\n' "$app_password" "$PGPORT" "$1"; } # DATABASE

# sql DATABASE [psql options]: as the superuser, unaligned rows only, stops at the first error.
sql() { "$BINDIR/psql" -XqAt -v ON_ERROR_STOP=1 -U postgres -d "$1" "${@:2}"; }

# Waits until a query returns true: until_sql DATABASE QUERY [STATEMENT to run before each try]
until_sql() {
	local tries
	for ((tries = 0; tries < 600; tries++)); do
		[[ -z ${3:-} ]] || sql "$1" -c "$3" >/dev/null
		[[ $(sql "$1" -c "$2") == t ]] && return
		sql "$1" -c "SELECT pg_sleep(0.1)" >/dev/null
	done
	printf '# gave up waiting for: %s\n' "$2"
	return 1
}

new_database() { # NAME
	sql postgres -c "CREATE DATABASE \"$1\" OWNER app"
}

# --- flavours: DBOS_SYS_FLAVOUR is empty for the extension, or plain for the script that the database's owner runs, no superuser --------
plain_script=$root/extension/dbos_sys-plain.sql
server_options=() installer=postgres
[[ ${DBOS_SYS_FLAVOUR:-} != plain ]] || { server_options=(--no-preload) installer=app; }

# The functions of dbos_sys, and their end.
make_functions() { # DATABASE
	if [[ ${DBOS_SYS_FLAVOUR:-} == plain ]]; then
		"$BINDIR/psql" -Xq -U app -d "$1" -f "$plain_script" >/dev/null
	else
		sql "$1" -c 'CREATE EXTENSION dbos_sys'
	fi
}
remove_functions() { # DATABASE
	if [[ ${DBOS_SYS_FLAVOUR:-} == plain ]]; then
		sql "$1" -c 'SET client_min_messages = warning' -c 'SET ROLE app' -c 'DROP SCHEMA dbos_sys CASCADE'
	else
		sql "$1" -c 'DROP EXTENSION dbos_sys' -c 'DROP SCHEMA dbos_sys'
	fi
}
# psql as who installs: the superuser, or the owner.
as_installer() { "$BINDIR/psql" -XqAt -v ON_ERROR_STOP=1 -U "$installer" -d "$1" "${@:2}"; } # DATABASE [psql options]

# As a user does it: functions, then install(), which gives the tables to the database's owner.
new_system_database() { # NAME
	new_database "$1"
	make_functions "$1"
	as_installer "$1" -c 'SELECT dbos_sys.install()' >/dev/null
}
