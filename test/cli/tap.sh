# TAP for shell tests that run on a private cluster: sourced, after `set -euo pipefail`.
# Sets root, build, scratch; the caller starts `cluster NAME` and uses sql, uri, ok, not_ok, equal, like.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
build=${BUILD_CLIENT:-${BUILD:-$root/build}/client}
scratch=$(mktemp -d "${TMPDIR:-/tmp}/dbos_sys-test.XXXXXX")
number=0 bad=0 server=

finish() {
	local status=$?
	[[ -z $server ]] || "$root/scripts/cluster" destroy "$server" || true
	rm -rf "$scratch"
	exit "$status"
}
trap finish EXIT

cluster() { # NAME [options of scripts/cluster start]
	"$root/scripts/cluster" prepare
	server=$1
	"$root/scripts/cluster" start "$@"
	eval "$("$root/scripts/cluster" env "$server")"
}
sql() { # DATABASE [psql's options]
	local database=$1
	shift
	"$BINDIR/psql" -h "$PGHOST" -p "$PGPORT" -U postgres -d "$database" -qAtX -v ON_ERROR_STOP=1 "$@"
}
uri() { # DATABASE [USER]
	"$root/scripts/cluster" uri "$server" "$1" | sed "s,//postgres@,//${2:-postgres}@,"
}

ok() {
	number=$((number + 1))
	echo "ok $number - $1"
}
not_ok() { # NAME [what was seen…]
	number=$((number + 1)) bad=$((bad + 1))
	echo "not ok $number - $1"
	shift
	(($# == 0)) || printf '%s\n' "$@" | sed 's/^/#   /'
}
equal() { # NAME seen wanted
	if [[ $2 == "$3" ]]; then ok "$1"; else not_ok "$1" "seen:   $2" "wanted: $3"; fi
}
like() { # NAME seen regular-expression
	if [[ $2 =~ $3 ]]; then ok "$1"; else not_ok "$1" "seen: $2" "wanted a match of: $3"; fi
}
# True as soon as the query answers t; looks every 50 ms, for 30 s.
until_sql() { # DATABASE query
	local until=$((SECONDS + 30))
	until [[ $(sql "$1" -c "$2") == t ]]; do
		((SECONDS < until)) || return 1
		sleep 0.05
	done
}
done_testing() {
	echo "1..$number"
	exit $((bad > 0))
}
