# The official TypeScript SDK. package.json and package-lock.json pin it. Sourced by lib.sh.
title=TypeScript
registry_name='npm @dbos-inc/dbos-sdk'
node=${NODE:-node}
[[ -n ${NODE:-} || ! -x $root/build/node/bin/node ]] || node=$root/build/node/bin/node
export NODE_NO_WARNINGS=1

sdk_pinned() { sed -n 's/^ *"@dbos-inc\/dbos-sdk": "\([^"]*\)".*/\1/p' "$interop/typescript/package.json"; }
sdk_newest() { npm view @dbos-inc/dbos-sdk dist-tags.latest; }

install_sdk() {
	cp "$interop"/golden.json "$interop"/typescript/{package.json,package-lock.json,.npmrc} "$interop"/typescript/*.mjs "$sdk/"
	if [[ -n ${SDK_VERSION:-} ]]; then
		rm -f "$sdk/package-lock.json"
		npm --prefix "$sdk" install --no-audit --no-fund --loglevel=error --save-exact "@dbos-inc/dbos-sdk@$SDK_VERSION"
	elif ! cmp -s "$sdk/package-lock.json" "$sdk/node_modules/.installed"; then
		npm --prefix "$sdk" ci --no-audit --no-fund --loglevel=error
		cp "$sdk/package-lock.json" "$sdk/node_modules/.installed"
	fi
}

program() { command=("$node" "$sdk/$1.mjs" "${@:2}"); }
