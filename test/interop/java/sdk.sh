# The official Java SDK. pom.xml pins it, jars.sha256 all that it needs. Sourced by lib.sh.
title=Java
registry_name='Maven dev.dbos:transact'
copy_jars=org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies
old_reader='Expected 7 argument(s) but got 0 for method canonicalWorkflow'

sdk_pinned() { sed -n 's/^.*<transact.version>\(.*\)<.*/\1/p' "$interop/java/pom.xml"; }
# Maven says which version it takes from a range that has all of them.
sdk_newest() {
	mvn -B -q -U -Dstyle.color=never -f "$interop/java/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:list \
		-DincludeArtifactIds=transact '-Dtransact.version=[1,)' -DoutputFile=/dev/stdout 2>&1 | sed -n 's/.*dev\.dbos:transact:jar:\([^:]*\):.*/\1/p'
}

install_sdk() {
	local wanted=-Dtransact.version=${SDK_VERSION:-$(sdk_pinned)}
	if [[ ! -f $sdk/jars/.installed || $(<"$sdk/jars/.installed") != "$wanted $(sha256sum <"$interop/java/jars.sha256")" ]]; then
		rm -rf "$sdk/jars"
		mvn -B -q -Dstyle.color=never -f "$interop/java/pom.xml" "$copy_jars" "$wanted" "-DoutputDirectory=$sdk/jars"
		[[ -n ${SDK_VERSION:-} ]] || (cd "$sdk/jars" && sha256sum --quiet --strict -c "$interop/java/jars.sha256" && [[ $(ls) == "$(sed 's/.* //' "$interop/java/jars.sha256")" ]])
		echo "$wanted $(sha256sum <"$interop/java/jars.sha256")" >"$sdk/jars/.installed"
	fi
	rm -rf "$sdk/classes"
	javac -Xlint:all,-path -d "$sdk/classes" -cp "$sdk/jars/*" "$interop"/java/*.java
	cp "$interop/golden.json" "$sdk/classes/"
}

program() { command=(java -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$sdk/classes:$sdk/jars/*" Interop "$@"); }
