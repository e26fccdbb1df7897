package main

import (
	"fmt"
	"io"
)

// printCommands prints commands to paste into another terminal.
func printCommands(out io.Writer, site *proxy) {
	// The site's name is not in the DNS.
	reach := fmt.Sprintf("--cacert ca.pem --resolve %s:%d:127.0.0.1", siteName, site.port)
	alice, bob := "--cert alice.pem --key alice.key", "--cert bob.pem --key bob.key"
	fmt.Fprintf(out, "\nAll of this stays up until you press Ctrl-C. In another terminal:\n\n")
	for _, command := range []string{
		"cd " + site.dir,
		fmt.Sprintf("curl %s %s %s", reach, alice, site.url(authenticate)),
		fmt.Sprintf("curl %s %s %s", reach, bob, site.url("/_cluster/health")),
		fmt.Sprintf("curl %s %s -H 'es-security-runas-user: admin' %s", reach, alice, site.url(authenticate)),
		fmt.Sprintf("curl %s -i %s", reach, site.url(authenticate)),
		fmt.Sprintf("curl %s --cert mallory.pem --key mallory.key -i %s", reach, site.url(authenticate)),
		fmt.Sprintf("curl %s %s", reach, site.url(jwksPath)),
		"grep 'being refused' caddy.log",
		"grep audit caddy.log",
	} {
		fmt.Fprintf(out, "  %s\n", command)
	}
}
