# The official Java SDK. pom.xml pins it, jars.sha256 all that it needs. Sourced by lib.sh.
title=Java
registry_name='Maven dev.dbos:transact'
copy_jars=org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies
old_reader='Expected 7 argument(s) but got 0 for method canonicalWorkflow'

sdk_pinned() { sed -n 's/^.*<transact.version>\(.*\)<.*/\1/p' "$interop/java/pom.xml"; }
sdk_newest() {
	mvn -q -U -f "$interop/java/pom.xml" org.codehaus.mojo:versions-maven-plugin:2.18.0:display-dependency-updates \
		-DprocessDependencyManagement=false -DallowAnyUpdates=true -Dmaven.version.ignore=x |
		sed -n 's/.*dev.dbos:transact .* -> *//p'
}

install_sdk() {
	local wanted=-Dtransact.version=${SDK_VERSION:-$(sdk_pinned)}
	if [[ ! -f $sdk/jars/.installed || $(<"$sdk/jars/.installed") != "$wanted $(sha256sum <"$interop/java/jars.sha256")" ]]; then
		rm -rf "$sdk/jars"
		mvn -B -q -f "$interop/java/pom.xml" "$copy_jars" "$wanted" "-DoutputDirectory=$sdk/jars"
		[[ -n ${SDK_VERSION:-} ]] || (cd "$sdk/jars" && sha256sum --quiet --strict -c "$interop/java/jars.sha256" && [[ $(ls) == "$(sed 's/.* //' "$interop/java/jars.sha256")" ]])
		echo "$wanted $(sha256sum <"$interop/java/jars.sha256")" >"$sdk/jars/.installed"
	fi
	rm -rf "$sdk/classes"
	javac -Xlint:all,-path -d "$sdk/classes" -cp "$sdk/jars/*" "$interop"/java/*.java
	cp "$interop/golden.json" "$sdk/classes/"
}

program() { command=(java -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$sdk/classes:$sdk/jars/*" Interop "$@"); }
