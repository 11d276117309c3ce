# The official Go SDK; its programs are one binary. go.mod and go.sum pin it. Sourced by lib.sh.
title=Go
registry_name='Go dbos-transact-golang'
go=$root/build/go/bin/go
[[ -x $go ]] || go=go

sdk_pinned() { sed -n 's/^.*dbos-transact-golang v\([^ ]*\).*/\1/p' "$interop/go/go.mod"; }
sdk_newest() { (cd "$interop/go" && "$go" list -m -f '{{.Version}}' github.com/dbos-inc/dbos-transact-golang@latest | sed 's/^v//'); }

install_sdk() {
	rm -rf "$sdk/source"
	mkdir -p "$sdk/source"
	cp "$interop"/golden.json "$interop"/go/{go.mod,go.sum,*.go} "$sdk/source/"
	if [[ -n ${SDK_VERSION:-} ]]; then
		(cd "$sdk/source" && "$go" get "github.com/dbos-inc/dbos-transact-golang@v$SDK_VERSION" && "$go" mod tidy)
	fi
	(cd "$sdk/source" && "$go" build -mod=readonly -buildvcs=false -o "$sdk/interop" .)
}

program() { command=("$sdk/interop" "$@"); }

# The SDK's own first migrations have the columns of notifications in another order, and 1000 for 1000.0.
in_our_words() {
	sed -E 's/ place=[0-9]+//; s/\* \(1000\)::numeric\)/* 1000.0)/; s/(Failing row contains \().*\)/\1…)/'
}
same_meaning=in_our_words
