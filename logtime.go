package esjwt

import "github.com/edgejwt/caddy-elasticsearch-jwt/internal/logfield"

// logTime is [logfield.Time], for files that are about to move to packages of their own.
var logTime = logfield.Time
