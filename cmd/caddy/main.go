// Command caddy is a Caddy with its standard modules and this plugin.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/edgejwt/caddy-elasticsearch-jwt"
)

func main() {
	caddycmd.Main()
}
