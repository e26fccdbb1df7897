package esrealm

import (
	"crypto/x509"
	"time"
)

// Config describes a node.
type Config struct {
	// Version is the release whose behavior the node shows: that of 8.17 where
	// it begins with "8.", or else that of 9.2. Default: [DefaultVersion].
	Version string
	// ConfigDir is the folder below which a realm's PKCJWKSetPath is looked up
	// where it is no URL.
	ConfigDir string
	// Realms are the JWT realms, in their order.
	Realms []Realm
	// Users are those of the file realm "default_file", which comes before the
	// others. They authenticate with Basic credentials and are the only ones that
	// others can run as.
	Users []User
	// Roles by name, beside the built-in superuser and viewer.
	Roles map[string]Role
	// RoleMappings by name.
	RoleMappings map[string]RoleMapping
	// Logf, where it is set, is told why a token was refused.
	Logf func(format string, args ...any)
}

// DefaultVersion is the release that a node imitates unless told otherwise.
const DefaultVersion = "9.2.0"

// TokenType is a realm's setting token_type.
type TokenType string

// The kinds of tokens that a realm can expect.
const (
	// IDToken is an OpenID Connect ID token. It is the default.
	IDToken TokenType = "id_token"
	// AccessToken is an OAuth2 access token, of which only some subjects are
	// allowed.
	AccessToken TokenType = "access_token"
)

// Realm is a JWT realm. Each field is the setting of the same name below
// xpack.security.authc.realms.jwt.<name>. What a node would refuse to start with
// is not looked for.
type Realm struct {
	Name string

	TokenType TokenType

	AllowedIssuer          string
	AllowedAudiences       []string
	AllowedSubjects        []string
	AllowedSubjectPatterns []string
	// AllowedSignatureAlgorithms defaults to RS256 alone.
	AllowedSignatureAlgorithms []string
	// AllowedClockSkew defaults to a minute; a negative one is none.
	AllowedClockSkew time.Duration

	Claims        Claims
	ClaimPatterns Claims
	// FallbackClaims are for an [AccessToken] realm.
	FallbackClaims FallbackClaims
	// RequiredClaims are more claims and the values of which each must have one.
	RequiredClaims map[string][]string
	// PopulateUserMetadata defaults to true.
	PopulateUserMetadata *bool

	ClientAuthentication ClientAuthentication

	// PKCJWKSetPath is an https URL, or a file below [Config.ConfigDir]. As Java
	// does, a realm sends no server name for a host without a dot or for an
	// address, at which a server that wants one refuses it.
	PKCJWKSetPath string
	// SSL are the settings ssl.*, for a PKCJWKSetPath that is a URL.
	SSL SSL

	// HMACKey is the UTF-8 text of a symmetric key.
	HMACKey string
	// HMACJWKSet is a JWK set of symmetric keys.
	HMACJWKSet string

	// NoJWTCache stands for jwt.cache.size: 0.
	NoJWTCache bool
}

// Claims names a token's claims, or gives the patterns for their values. A
// pattern is a regular expression whose first group is the value; it may match
// anywhere.
type Claims struct {
	Principal, Groups, Name, Mail, DN string
}

// FallbackClaims are the claims that stand in for sub and aud where a token has
// none.
type FallbackClaims struct {
	Sub, Aud string
}

// ClientAuthenticationType is the setting client_authentication.type.
type ClientAuthenticationType string

// The ways in which a realm authenticates the client that presents a token.
const (
	// ClientAuthenticationSharedSecret wants the shared secret in the header
	// ES-Client-Authentication. It is the default.
	ClientAuthenticationSharedSecret ClientAuthenticationType = "shared_secret"
	// ClientAuthenticationNone wants nothing.
	ClientAuthenticationNone ClientAuthenticationType = "none"
)

// ClientAuthentication are the settings client_authentication.*.
type ClientAuthentication struct {
	Type         ClientAuthenticationType
	SharedSecret string
	// RotationGracePeriod is how long the old secret works beside a new one;
	// see [Node.SetSharedSecret]. Default: a minute.
	RotationGracePeriod time.Duration
}

// SSL is how a realm talks to the server of its JWK set.
type SSL struct {
	// CertificateAuthorities are trusted. Default: the system's.
	CertificateAuthorities *x509.CertPool
}

// User is a user of the file realm.
type User struct {
	Name, Password string
	Roles          []string
}

// Role is a role as roles.yml and the role API describe it, as far as this
// package knows privileges.
type Role struct {
	// Cluster are cluster privileges: all, manage or monitor.
	Cluster []string `json:"cluster,omitempty"`
	// Indices are privileges on indices.
	Indices []IndexPrivileges `json:"indices,omitempty"`
	// RunAs are patterns of the users that a holder may run as.
	RunAs []string `json:"run_as,omitempty"`
}

// IndexPrivileges gives privileges on the indices whose names match a pattern:
// all, manage, read, write, index, create, create_doc, delete, create_index,
// delete_index, auto_configure, maintenance or view_index_metadata.
type IndexPrivileges struct {
	Names      []string `json:"names"`
	Privileges []string `json:"privileges"`
}

// RoleMapping gives roles to the users that its rules match.
type RoleMapping struct {
	Roles []string
	// Rules is a rule as the role-mapping API takes it, for instance
	// {"all":[{"field":{"realm.name":"jwt1"}},{"field":{"groups":"analysts"}}]}.
	Rules []byte
}
