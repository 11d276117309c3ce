# What counts as a backup, archiving that stands still, statistics that a crash took; sourced by run. On a server of its own.

# With `later` ten minutes from now, as examine_later.
backups_line() { # FILE ROLE [later]
	sql odd -c "SELECT set_config('dbos_sys.fake_now', ((EXTRACT(epoch FROM clock_timestamp()) + ${3:+600 + }0) * 1000)::bigint::text, false)" \
		-c "SET ROLE $2" -c "SELECT name, state, finding, mend FROM dbos_sys.doctor('{backups}')" | sed 1d >"$1"
}
# A client of WAL: wal_client QUERY-UNTIL COMMAND…
wal_client() {
	"${@:2}" >"$work/wal_client.log" 2>&1 &
	sessions+=($!)
	until_sql odd "$1"
}
end_wal_client() {
	kill "${sessions[-1]}" 2>/dev/null || true
	# A child of pg_basebackup outlives it.
	sql odd -c 'SELECT pg_terminate_backend(pid) FROM pg_stat_replication' >/dev/null
	until_sql odd 'SELECT count(*) = 0 FROM pg_stat_replication'
}

test_receivers() {
	local lines=$work/receivers
	mkdir "$work/wal"
	sql odd -c "SELECT pg_create_logical_replication_slot('decoder', 'pgoutput')" >/dev/null
	wal_client "SELECT count(*) = 1 FROM pg_stat_replication WHERE state = 'streaming'" "$BINDIR/pg_recvlogical" -U postgres -d odd --slot=decoder --start -f - \
		-o proto_version=1 -o publication_names=none
	backups_line "$lines" postgres
	found "$lines" backups warn 'WAL is not archived, 0 standbys'
	end_wal_client
	wal_client "SELECT count(*) FILTER (WHERE state = 'backup') = 1 AND count(*) = 2 FROM pg_stat_replication" "$BINDIR/pg_basebackup" -U postgres -D "$work/base" --checkpoint=fast --max-rate=32
	backups_line "$lines" postgres
	found "$lines" backups warn 'WAL is not archived, 0 standbys'
	end_wal_client
	wal_client "SELECT count(*) = 1 FROM pg_stat_replication WHERE state = 'streaming'" "$BINDIR/pg_receivewal" -U postgres -D "$work/wal"
	backups_line "$lines" postgres
	found "$lines" backups ok 'WAL is not archived, 1 standbys or receivers'
	backups_line "$lines" watcher
	found "$lines" backups 'not known' 'whether a standby receives it is hidden'
	end_wal_client
}

test_slow_archive() {
	local lines=$work/slow
	sql postgres -c "ALTER SYSTEM SET archive_mode = 'on'" -c "ALTER SYSTEM SET archive_command = '/bin/true'"
	"$cluster" restart "$server"
	sql odd -c 'CREATE TABLE w AS SELECT 1' -c 'SELECT pg_switch_wal()' >/dev/null
	until_sql odd "SELECT archived_count > 0 AND NOT EXISTS (SELECT FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready') FROM pg_stat_archiver"
	backups_line "$lines" postgres later
	found "$lines" backups ok 'WAL is archived'
	backups_line "$lines" watcher later
	found "$lines" backups ok 'WAL is archived'
	sql postgres -c "ALTER SYSTEM SET archive_command = 'sleep 1000; true'" -c 'SELECT pg_reload_conf()' >/dev/null
	until_sql odd "SELECT current_setting('archive_command') LIKE 'sleep%'"
	for n in 1 2 3; do sql odd -c "CREATE TABLE w$n AS SELECT 1" -c 'SELECT pg_switch_wal()' >/dev/null; done
	backups_line "$lines" postgres
	found "$lines" backups ok 'WAL is archived'
	backups_line "$lines" postgres later
	found "$lines" backups bad '3 segments of WAL wait to be archived, the oldest for longer than five minutes'
	backups_line "$lines" watcher later
	found "$lines" backups 'not known' '[23] segments of WAL wait to be archived, and whether they have for long is hidden'
}

# Something has been counted; a table of no size.
count_rows() {
	sql odd -c 'CREATE TABLE IF NOT EXISTS noise (n integer)' -c 'INSERT INTO noise SELECT generate_series(1, 500)'
	until_sql odd 'SELECT sum(tup_inserted) >= 500 FROM pg_stat_database'
}

test_lost_statistics() {
	local lines=$work/statistics
	sql odd -c 'CREATE TABLE orders (n integer, page text)' -c 'ALTER TABLE orders ALTER page SET STORAGE PLAIN' \
		-c "INSERT INTO orders SELECT n, repeat('x', 7500) FROM generate_series(1, 1500) AS n"
	sql odd -c 'SELECT pg_stat_reset()' >/dev/null
	count_rows
	examine odd "$lines" postgres "'{dedicated instance}'"
	found "$lines" 'dedicated instance' 'not known' 'statistics are [0-2] min old.*public.orders \(12 MB\)'
	sql odd -c 'CHECKPOINT'
	"$cluster" crash "$server"
	"$cluster" start "$server"
	count_rows
	examine odd "$lines" postgres "'{dedicated instance}'"
	found "$lines" 'dedicated instance' 'not known' 'statistics are [0-2] min old.*public.orders \(12 MB\)'
	sql odd -c "INSERT INTO orders SELECT n, repeat('x', 7500) FROM generate_series(1, 12000) AS n"
	sql odd -c 'SELECT pg_stat_reset()' >/dev/null
	count_rows
	examine odd "$lines" postgres "'{dedicated instance}'"
	found "$lines" 'dedicated instance' warn 'public.orders \(10[0-9] MB, 0 rows written\)'
}

# Which libraries the server loads is for pg_read_all_settings to see: who does not must not be told to drop them.
test_hidden_libraries() {
	local lines=$work/libraries
	examine odd "$lines" watcher "'{background worker}'"
	equal 'who does not see the libraries is told to keep them' "$(line "$lines" 'background worker' | cut -d'|' -f4)" \
		'Add dbos_sys to shared_preload_libraries, beside what is there (hidden from this role: SHOW shared_preload_libraries; as a superuser), and restart the server.'
	examine odd "$lines" postgres "'{background worker}'"
	equal 'who does see them is given the whole list' "$(line "$lines" 'background worker' | cut -d'|' -f4)" \
		"ALTER SYSTEM SET shared_preload_libraries = 'pg_cron', 'dbos_sys'; -- then restart the server"
}

test_backups() {
	server=doctor-odd
	"$cluster" start "$server" --owner $$ --no-preload --conf wal_level=logical --conf shared_preload_libraries=pg_cron
	eval "$("$cluster" env "$server")"
	export PGHOST PGPORT
	sql postgres -c 'CREATE ROLE app LOGIN' -c 'CREATE ROLE watcher LOGIN' -c 'CREATE DATABASE odd OWNER app TEMPLATE template0'
	make_functions odd
	as_installer odd -c "SELECT dbos_sys.install()" -c "SELECT dbos_sys.grant_access('watcher')" >/dev/null
	test_receivers
	test_slow_archive
	test_lost_statistics
	$plain || test_hidden_libraries
	"$cluster" destroy "$server"
}
