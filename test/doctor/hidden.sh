# What a session cannot see is not known, and what it alone sees is not what others have; sourced by run.

# On the bad server, which has one standby; the doctor's own session waits for none.
test_standbys() {
	local lines=$work/standbys names state found
	while IFS='|' read -r names state found; do
		sql badly -c "ALTER SYSTEM SET synchronous_standby_names = '$names'" -c 'SELECT pg_reload_conf()' >/dev/null
		until_sql badly "SELECT current_setting('synchronous_standby_names') = '$names' AND bool_or(sync_state IN ('sync', 'quorum')) FROM pg_stat_replication"
		examine badly "$lines" postgres "'{synchronous standby}'"
		found "$lines" 'synchronous standby' "$state" "$found"
	done <<-'END'
		2 (*, elsewhere)|bad|: 1 of 2 connected
		FIRST 2 (*)|bad|: 1 of 2 connected
		any 2 (*)|bad|: 1 of 2 connected
		ANY 1 (elsewhere, *)|ok|: 1 of 1 connected
		elsewhere, *|ok|: 1 of 1 connected
	END
	sql badly -c 'ALTER SYSTEM RESET synchronous_standby_names' -c 'SELECT pg_reload_conf()' >/dev/null
}

# On the good server, as all that follows.
test_hidden_settings() {
	local lines=$work/hidden
	sql postgres -c 'ALTER ROLE watcher SET synchronous_commit = on' -c 'REVOKE SELECT ON pg_file_settings FROM watcher'
	examine dbos_sys "$lines" watcher "'{synchronous_commit}'"
	found "$lines" synchronous_commit 'not known' 'this session has a synchronous_commit of its own, and role watcher may not read the server'
	sql dbos_sys -c 'GRANT SELECT ON pg_file_settings TO watcher' -c 'GRANT EXECUTE ON FUNCTION pg_read_file(text, bigint, bigint, boolean) TO watcher'
	examine dbos_sys "$lines" watcher "'{synchronous_commit}'"
	found "$lines" synchronous_commit ok '= on'
	sql postgres -c "ALTER SYSTEM SET synchronous_commit = 'off'" -c 'SELECT pg_reload_conf()' >/dev/null
	until_sql dbos_sys "SELECT current_setting('synchronous_commit') = 'off'"
	examine dbos_sys "$lines" watcher "'{synchronous_commit}'"
	found "$lines" synchronous_commit bad '= off'
	sql postgres -c 'ALTER SYSTEM RESET synchronous_commit' -c 'ALTER DATABASE dbos_sys SET synchronous_commit = false' -c 'SELECT pg_reload_conf()' >/dev/null
	PGOPTIONS='-c synchronous_commit=on' examine dbos_sys "$lines" postgres "'{synchronous_commit}'"
	found "$lines" synchronous_commit bad '= off'
	line "$lines" synchronous_commit | cut -d'|' -f4 | sql dbos_sys
	until_sql dbos_sys "SELECT current_setting('synchronous_commit') = 'on'"
	examine dbos_sys "$lines" watcher "'{synchronous_commit}'"
	found "$lines" synchronous_commit ok '= on'
	sql postgres -c 'ALTER ROLE watcher RESET synchronous_commit'
}

test_wrong_line() {
	local lines=$work/wrong file
	file=$(sql postgres -c 'SHOW data_directory')/postgresql.auto.conf
	echo "work_mem = 'plenty'" >>"$file"
	examine dbos_sys "$lines" postgres "'{configuration}'"
	found "$lines" configuration warn 'nothing waits for a restart; not applied: .*postgresql.auto.conf line [0-9]+'
	sql dbos_sys -c 'REVOKE SELECT ON pg_file_settings FROM watcher'
	examine dbos_sys "$lines" watcher "'{configuration}'"
	found "$lines" configuration 'not known' 'whether a line of the files is wrong is hidden'
	sed -i '/plenty/d' "$file"
}

test_folded_names() {
	local lines=$work/folded
	sql postgres -c 'CREATE DATABASE "DBOS_Sys" OWNER app TEMPLATE template0'
	make_functions DBOS_Sys
	examine DBOS_Sys "$lines" postgres "'{background worker}'"
	found "$lines" 'background worker' bad 'dbos_sys.databases = DBOS_Sys'
	equal 'a name in capitals is named in quotes' "$(line "$lines" 'background worker' | cut -d'|' -f4)" \
		"ALTER SYSTEM SET dbos_sys.databases = 'DBOS_Sys, \"DBOS_Sys\"'; -- then restart the server"
	sql postgres -c 'DROP DATABASE "DBOS_Sys"'
}
