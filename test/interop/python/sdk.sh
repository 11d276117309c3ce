# The official Python SDK in a virtual environment. requirements.txt pins it. Sourced by lib.sh.
title=Python
registry_name='PyPI dbos'

sdk_pinned() { sed -n 's/^dbos==\([^ ]*\).*/\1/p' "$interop/python/requirements.txt"; }
sdk_newest() { python3 -m pip index versions dbos 2>/dev/null | sed -n 's/^dbos (\(.*\))$/\1/p'; }

install_sdk() {
	local wanted=(--require-hashes -r "$sdk/requirements.txt")
	cp "$interop"/golden.json "$interop"/python/{requirements.txt,*.py} "$sdk/"
	[[ -z ${SDK_VERSION:-} ]] || wanted=("dbos==$SDK_VERSION")
	[[ ! -f $sdk/venv/.installed || $(<"$sdk/venv/.installed") != "$(cat "$sdk/requirements.txt"; echo "${wanted[@]}")" ]] || return 0
	python3 -m venv --clear "$sdk/venv"
	"$sdk/venv/bin/pip" install --quiet --disable-pip-version-check "${wanted[@]}"
	{ cat "$sdk/requirements.txt"; echo "${wanted[@]}"; } >"$sdk/venv/.installed"
}

program() { command=("$sdk/venv/bin/python" -B "$sdk/$1.py" "${@:2}"); }
