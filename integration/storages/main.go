// Command storages is a Caddy with this plugin and thin storages in Redis and PostgreSQL, which have
// what the published modules have that the keys depend on: how they list, and how they lock.
package main

import (
	"fmt"
	"os"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/edgejwt/caddy-elasticsearch-jwt"
)

func main() {
	caddycmd.Main()
}

// hang makes a store hang, with whatever lock the process has, where the environment says so: for
// a test that kills it then.
func hang() {
	if os.Getenv("THIN_STORAGE_HANGS") != "" {
		fmt.Fprintln(os.Stderr, "the storage hangs")
		select {}
	}
}
