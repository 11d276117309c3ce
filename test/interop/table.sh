# Sourced by run: what holds for an SDK, cell by cell, as a row of the table in docs/interop.md.

declare -A cells=()

# cell NAME VALUE: a value that was measured.
cell() { cells[$1]=$2; }

# promise NAME command...: `yes` when no result of the command is `not ok`, and on which condition.
condition=
promise() {
	local name=$1 before=$tap_failures
	shift
	"$@"
	((tap_failures == before)) && cells[$name]=yes$condition || cells[$name]=no
}

column_names=(launches version_applied runs own from_cpp from_psql to_cpp fenced sessions)

# | TypeScript | `npm …` 5.3.0 | … |
row() {
	local name
	printf '| %s | `%s` %s |' "$title" "$registry_name" "${SDK_VERSION:-$(sdk_pinned)}"
	for name in "${column_names[@]}"; do
		if [[ $name == sessions ]]; then printf ' `%s` |' "${cells[$name]:-}"; else printf ' %s |' "${cells[$name]:--}"; fi
	done
	printf '\n'
}

# The row goes to build/interop/rows/LANGUAGE. A run of the pinned version compares it with the docs.
test_row() {
	mkdir -p "$installed/rows"
	row >"$installed/rows/$language"
	[[ -z ${SDK_VERSION:-} ]] || return 0
	equal "docs/interop.md says what this run saw of $title (test/interop/write-table mends it)" "$(grep "^| $title " "$root/docs/interop.md")" "$(cat "$installed/rows/$language")"
}
