package esrealm

import (
	"crypto/x509"
	"time"
)

// Config describes a node.
type Config struct {
	// Version is the release that the node imitates. If it begins with "8.", the
	// node behaves like 8.17, otherwise like 9.2. Default: [DefaultVersion].
	Version string
	// ConfigDir is the folder for a realm's PKCJWKSetPath that is a relative path.
	ConfigDir string
	// Realms are the JWT realms, in their order.
	Realms []Realm
	// Users are the users of the file realm "default_file", which comes before
	// the JWT realms. They authenticate with Basic credentials. Others can run as
	// them, and as nobody else.
	Users []User
	// Roles by name. There are also the built-in superuser and viewer.
	Roles map[string]Role
	// RoleMappings by name.
	RoleMappings map[string]RoleMapping
	// Logf, if it is set, is called with the reason when a token is refused.
	Logf func(format string, args ...any)
}

// DefaultVersion is the release that a node imitates by default.
const DefaultVersion = "9.2.0"

// TokenType is a realm's setting token_type.
type TokenType string

// The kinds of tokens that a realm can expect.
const (
	// IDToken is an OpenID Connect ID token. It is the default.
	IDToken TokenType = "id_token"
	// AccessToken is an OAuth2 access token. Its realm allows only some subjects.
	AccessToken TokenType = "access_token"
)

// Realm is a JWT realm. Each field is the setting of the same name below
// xpack.security.authc.realms.jwt.<name>. A real node does not start with some
// combinations of settings; this package does not look for them.
type Realm struct {
	Name string

	TokenType TokenType

	AllowedIssuer          string
	AllowedAudiences       []string
	AllowedSubjects        []string
	AllowedSubjectPatterns []string
	// AllowedSignatureAlgorithms defaults to RS256 alone.
	AllowedSignatureAlgorithms []string
	// AllowedClockSkew defaults to a minute. A negative value means none.
	AllowedClockSkew time.Duration

	Claims        Claims
	ClaimPatterns Claims
	// FallbackClaims are for an [AccessToken] realm.
	FallbackClaims FallbackClaims
	// RequiredClaims are further claims that a token must have, with the allowed
	// values of each.
	RequiredClaims map[string][]string
	// PopulateUserMetadata defaults to true.
	PopulateUserMetadata *bool

	ClientAuthentication ClientAuthentication

	// PKCJWKSetPath is an https URL or a file; see [Config.ConfigDir]. Like Java, a
	// realm sends no server name in the TLS handshake if the host is an address or
	// a name without a dot. Some servers refuse such a handshake.
	PKCJWKSetPath string
	// SSL are the settings ssl.* for a PKCJWKSetPath that is a URL.
	SSL SSL

	// HMACKey is the UTF-8 text of a symmetric key.
	HMACKey string
	// HMACJWKSet is a JWK set of symmetric keys.
	HMACJWKSet string

	// NoJWTCache stands for jwt.cache.size: 0.
	NoJWTCache bool
}

// Claims are the names of a token's claims, or the patterns for their values. A
// pattern is a regular expression that matches anywhere in the text, and its
// first group is the value.
type Claims struct {
	Principal, Groups, Name, Mail, DN string
}

// FallbackClaims are the claims that are used if a token has no sub or aud.
type FallbackClaims struct {
	Sub, Aud string
}

// ClientAuthenticationType is the setting client_authentication.type.
type ClientAuthenticationType string

// The ways in which a realm authenticates the client that presents a token.
const (
	// ClientAuthenticationSharedSecret requires the shared secret in the header
	// ES-Client-Authentication. It is the default.
	ClientAuthenticationSharedSecret ClientAuthenticationType = "shared_secret"
	// ClientAuthenticationNone requires nothing.
	ClientAuthenticationNone ClientAuthenticationType = "none"
)

// ClientAuthentication are the settings client_authentication.*.
type ClientAuthentication struct {
	Type         ClientAuthenticationType
	SharedSecret string
	// RotationGracePeriod is how long the old secret works after
	// [Node.SetSharedSecret]. Default: a minute.
	RotationGracePeriod time.Duration
}

// SSL are the settings ssl.*, for the connection to the server of the JWK set.
type SSL struct {
	// CertificateAuthorities may issue the server's certificate. Default: the
	// system's.
	CertificateAuthorities *x509.CertPool
}

// User is a user of the file realm.
type User struct {
	Name, Password string
	Roles          []string
}

// Role is a role. Its JSON is that of the role API and, as YAML, of roles.yml.
type Role struct {
	// Cluster are cluster privileges: all, manage or monitor.
	Cluster []string `json:"cluster,omitempty"`
	// Indices are privileges on indices.
	Indices []IndexPrivileges `json:"indices,omitempty"`
	// RunAs are patterns for the names of users that one may run as.
	RunAs []string `json:"run_as,omitempty"`
}

// IndexPrivileges are privileges on the indices whose names match a pattern. The
// node knows all, manage, read, write, index, create, create_doc, delete,
// create_index, delete_index, auto_configure, maintenance and
// view_index_metadata.
type IndexPrivileges struct {
	Names      []string `json:"names"`
	Privileges []string `json:"privileges"`
}

// RoleMapping gives roles to the users that its rules match.
type RoleMapping struct {
	Roles []string
	// Rules is a rule in the JSON of the role-mapping API, for instance
	// {"all":[{"field":{"realm.name":"jwt1"}},{"field":{"groups":"analysts"}}]}.
	Rules []byte
}
