# dbos-sys doctor and dbos-sys init --settings; sourced by run.
tool=$root/build/client/dbos-sys

# Sets out, err, status.
tool() {
	status=0
	out=$("$tool" "$@" 2>"$work/tool.err") || status=$?
	err=$(<"$work/tool.err")
}
json() { sql postgres -v text="$1" -f - <<<"SELECT (:'text')::jsonb $2"; } # TEXT PATH
like() { if [[ $2 =~ $3 ]]; then ok "$1"; else not_ok "$1" "$(printf 'got: %s\nwanted a match of: %s' "$2" "$3")"; fi; }
refused() { # NAME STATUS REGEX ARGUMENTS…
	tool "${@:4}"
	like "$1" "$status $err" "^$2 .*$3"
}

# On the good server: nothing is to mend.
test_tool() {
	local bare plant="INSERT INTO dbos.workflow_status (workflow_uuid, status, name) VALUES ('dead', 'MAX_RECOVERY_ATTEMPTS_EXCEEDED', E'poison\x1b[31m')"
	bare=$(uri postgres postgres)
	tool doctor --db "$(uri postgres dbos_sys)" --accept determinism,traces "${unpruned[@]}"
	like 'exit code 0: all is well, or accepted' "$status $out" $'^0 .*\nnot known determinism +.* \\(accepted\\)\n.* ok, [01] to mend, [23] not known$'
	tool doctor --db "$(uri postgres dbos_sys)" "${unpruned[@]}"
	equal 'exit code 4: nothing is to mend, but something is not known' "$status" 4
	sql dbos_sys -c "$plant"
	tool doctor --db "$(uri postgres dbos_sys)"
	like 'exit code 3: something is to mend, and the text says what, why and how' "$status $out" \
		$'^3 .*\nwarn +dead letters +1 poison\\\\x1B\\[31m\n +wanted  none\n +why     Each is a workflow .*\n +mend    SELECT dbos_sys.resume'
	equal 'no colour unless on a terminal' "$(grep -c $'\x1b' <<<"$out" || true)" 0
	python3 -c 'import pty, sys; pty.spawn(sys.argv[1:])' "$tool" doctor 'dead letters' --db "$(uri postgres dbos_sys)" >"$work/coloured" </dev/null || true
	like 'on a terminal states have colours, and stored text none' "$(<"$work/coloured")" $'^\x1b\\[33mwarn     \x1b\\[0m dead letters  1 poison\\\\x1B'
	tool doctor 'dead letters' traces --json --db "$(uri postgres dbos_sys)"
	equal '--json has the lines, the counts and the exit code' \
		"$status $(json "$out" "->'exit_code'") $(json "$out" "->'warn'") $(json "$out" "->'not_known'") $(json "$out" "->'lines'->1->>'name'") $(json "$out" "->'lines'->0->>'state'")" \
		'3 3 1 1 dead letters not known'
	(until_sql postgres "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'dbos-sys doctor'" || true
		sql dbos_sys -c "DELETE FROM dbos.workflow_status WHERE workflow_uuid = 'dead'") &
	tool doctor 'dead letters' --wait 60s --db "$(uri postgres dbos_sys)"
	equal '--wait looks again until nothing is to mend' "$status" 0
	wait $! || true
	sql dbos_sys -c "$plant"
	tool doctor 'dead letters' --wait 1s --db "$(uri postgres dbos_sys)"
	equal '--wait ends with its time' "$status" 3
	tool doctor 'dead letters' --accept 'dead letters' --db "$(uri postgres dbos_sys)"
	equal 'an accepted line does not count' "$status" 0
	sql dbos_sys -c "DELETE FROM dbos.workflow_status WHERE workflow_uuid = 'dead'"

	refused 'an unknown line is refused with the names of all' 2 'no line "nope".*dedicated instance, pooler' doctor nope --db "$(uri postgres dbos_sys)"
	refused 'an accepted line that is none is refused' 2 "'nope' is no line" doctor --accept nope --db "$(uri postgres dbos_sys)"
	refused 'a wait that is no time is refused' 2 "wait 'soon'.*30s" doctor --wait soon --db "$(uri postgres dbos_sys)"
	refused 'a database without the functions: what makes them' 1 'dbos-sys init' doctor --db "$bare"
	refused 'a server that is not there' 1 '(refused|No such file)' doctor --wait 1s --db 'host=/nowhere dbname=x'
	test_statement_timeout
	test_pooler
}

# The locked table makes the checklist wait for longer than the timeout.
test_statement_timeout() {
	sql postgres -c "ALTER DATABASE dbos_sys SET statement_timeout = '300ms'"
	hold table_locker dbos_sys 'SET application_name = locker; BEGIN; LOCK TABLE dbos.workflow_status;'
	until_sql postgres "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'locker' AND state = 'idle in transaction'"
	like 'a statement_timeout ends the function' "$(sql dbos_sys -c "SELECT name FROM dbos_sys.doctor('{dead letters}')" 2>&1 || true)" 'due to statement timeout'
	tool doctor statement_timeout 'dead letters' --db "$(uri postgres dbos_sys)"
	like 'but not the tool, which tells of it' "$status $out" $'^3 warn +statement_timeout +statement_timeout = 00:00:00.3.*\n +mend    (ALTER DATABASE [^\n]*)\nnot known dead letters '
	kill "${sessions[-1]}"
	sql postgres -c "${BASH_REMATCH[1]:-no mend}"
	tool doctor statement_timeout --db "$(uri postgres dbos_sys)"
	equal 'what it names mends it' "$status" 0
}

test_pooler() {
	local folder
	folder=$(mktemp -d /tmp/pooler.XXXXXX)  # short, and the pooler's user may enter it
	printf '[databases]\n* = host=%s port=%s user=postgres\n[pgbouncer]\nlisten_addr =\nlisten_port = 6432\nunix_socket_dir = %s\nauth_type = any\npool_mode = transaction\n' \
		"$PGHOST" "$PGPORT" "$folder" >"$folder/ini"
	if ((EUID == 0)); then
		chown -R postgres: "$folder"
		setpriv --reuid=postgres --regid=postgres --clear-groups pgbouncer -q "$folder/ini" >"$folder/log" 2>&1 &
	else
		pgbouncer -q "$folder/ini" >"$folder/log" 2>&1 &
	fi
	sessions+=($!)
	until [[ -S $folder/.s.PGSQL.6432 ]]; do
		kill -0 "${sessions[-1]}" 2>/dev/null || { not_ok 'the pooler starts' "$(<"$folder/log")"; return; }
		sleep 0.02
	done
	tool doctor pooler --db "host=$folder port=6432 user=postgres dbname=dbos_sys"
	like 'a pooler in between is seen' "$status $out" '^0 ok .*a pooler: this connection comes through one'
	kill "${sessions[-1]}"
	rm -rf "$folder"
	tool doctor pooler --db "$(uri postgres dbos_sys)"
	equal 'and so is that there is none' "$status $(grep -c 'comes through one' <<<"$out" || true)" '0 0'
}

# A server as it comes, set up by the tool.
test_init_settings() {
	local lines=$work/fresh
	server=doctor-fresh
	"$cluster" start "$server" --owner $$ --no-preload --conf shared_buffers=2GB --conf archive_mode=on --conf archive_command=/bin/true
	eval "$("$cluster" env "$server")"
	export PGHOST PGPORT
	tool init --settings --json --db "$(uri postgres dbos_sys)"
	equal 'init --settings changes what is not met and tunes the tables' \
		"$status $(json "$out" "->'restart'") $(json "$out" "->'tuned_tables'") $(json "$out" "->'settings' @> '[{\"name\": \"max_wal_size\", \"restart\": false}, {\"name\": \"shared_preload_libraries\", \"restart\": true}]'")" '0 true 10 t'
	equal 'and leaves what was set beyond it' "$(json "$out" "->'settings' @> '[{\"name\": \"shared_buffers\"}]'")" f
	"$cluster" restart "$server"
	sql postgres -c 'SELECT pg_switch_wal()' >/dev/null
	until_sql postgres 'SELECT archived_count > 0 FROM pg_stat_archiver'
	until_sql dbos_sys 'SELECT last_tick IS NOT NULL FROM dbos_ops.ticker'
	examine dbos_sys "$lines"
	equal 'after a restart nothing is to mend but that nothing prunes yet' "$(awk -F'|' '$2 == "warn" || $2 == "bad" { print $1 }' "$lines")" 'prune job'
	equal 'shared_buffers is as it was' "$(sql postgres -c 'SHOW shared_buffers')" 2GB
	tool init --settings --db "$(uri postgres dbos_sys)"
	like 'once more changes nothing' "$status $out" '^0 .*settings   0 changed, 0 tables tuned$'
	"$cluster" destroy "$server"
	server=doctor-good
	eval "$("$cluster" env "$server")"
	export PGHOST PGPORT
}
