package identity

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/spiffe"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/x500"
)

// certValue returns the values of one kind in a certificate, in the certificate's order. It is no error if there are
// none.
type certValue func(*certificate) ([]string, error)

// certificate is a client certificate with its names as they are encoded. The names of crypto/x509 have lost the order
// of the attributes and all CNs but the last.
type certificate struct {
	*x509.Certificate
	subject, issuer x500.Name
}

func newCertificate(cert *x509.Certificate) (*certificate, error) {
	subject, err := x500.Parse(cert.RawSubject)
	if err != nil {
		return nil, fmt.Errorf("the certificate's subject: %w", err)
	}
	issuer, err := x500.Parse(cert.RawIssuer)
	if err != nil {
		return nil, fmt.Errorf("the certificate's issuer: %w", err)
	}
	return &certificate{Certificate: cert, subject: subject, issuer: issuer}, nil
}

func (c *certificate) fingerprint() [sha256.Size]byte { return sha256.Sum256(c.Raw) }

// Serial returns the serial number in hexadecimal, as openssl and Elasticsearch's audit trail write it.
func Serial(cert *x509.Certificate) string { return hex.EncodeToString(cert.SerialNumber.Bytes()) }

// certValues are the {cert.*} values by name.
var certValues = func() map[string]certValue {
	values := map[string]certValue{
		"serial": one(func(c *certificate) string { return Serial(c.Certificate) }),
		"fingerprint": one(func(c *certificate) string {
			sum := c.fingerprint()
			return hex.EncodeToString(sum[:])
		}),
		"san.dns":   func(c *certificate) ([]string, error) { return c.DNSNames, nil },
		"san.email": func(c *certificate) ([]string, error) { return c.EmailAddresses, nil },
		"san.uri":   uriNames,
		"san.ip":    ipNames,
		"san.upn":   userPrincipalNames,
		"spiffe_id": spiffeID,
	}
	maps.Copy(values, nameValues(func(c *certificate) x500.Name { return c.subject }))
	for name, v := range nameValues(func(c *certificate) x500.Name { return c.issuer }) {
		values["issuer."+name] = v
	}
	return values
}()

// dnValues are the names of the certValues that are whole distinguished names.
var dnValues = []string{
	"dn", "dn_rfc2253", "dn_opensearch",
	"issuer.dn", "issuer.dn_rfc2253", "issuer.dn_opensearch",
}

// nameValues returns the values of the subject or of the issuer: of the name that the function returns.
func nameValues(name func(*certificate) x500.Name) map[string]certValue {
	// A certificate can have an empty subject, and all its names as alternative names. An empty name is no value.
	whole := func(render func(x500.Name) string) certValue {
		return func(c *certificate) ([]string, error) {
			n := name(c)
			if len(n) == 0 {
				return nil, nil
			}
			text, err := rendered(n, render)
			return []string{text}, err
		}
	}
	values := map[string]certValue{
		"dn":            whole(x500.Name.String),
		"dn_rfc2253":    whole(x500.Name.RFC2253),
		"dn_opensearch": whole(x500.Name.OpenSearch),
	}
	for attr, oid := range map[string]x500.OID{
		"cn":    x500.CommonName,
		"o":     x500.Organization,
		"ou":    x500.OrganizationalUnit,
		"c":     x500.Country,
		"l":     x500.Locality,
		"st":    x500.Province,
		"email": x500.EmailAddress,
		"uid":   x500.UserID,
		"dc":    x500.DomainComponent,
	} {
		values[attr] = func(c *certificate) ([]string, error) { return name(c).Strings(oid) }
	}
	return values
}

// rendered renders a name. It is an error if a value in it has a control character, which not every rendering shows. A
// pattern could take what follows the end of a line for a name: in the value "eve\nCN=admin", CN=(.*?)(?:,|$) finds
// admin.
func rendered(name x500.Name, render func(x500.Name) string) (string, error) {
	for _, rdn := range name {
		for _, attribute := range rdn {
			if err := attribute.Err(); errors.Is(err, x500.ErrControl) {
				return "", err
			}
		}
	}
	return render(name), nil
}

func one(f func(*certificate) string) certValue {
	return func(c *certificate) ([]string, error) { return []string{f(c)}, nil }
}

// uriNames returns the URIs as they are encoded. Those of crypto/x509 are parsed by net/url, which writes some of them
// in another way, so that two names could become one.
func uriNames(c *certificate) ([]string, error) {
	const uniformResourceIdentifier = 6 // RFC 5280 section 4.2.1.6
	var uris []string
	for _, extension := range c.Extensions {
		if !extension.Id.Equal(oidSubjectAltName) {
			continue
		}
		input := cryptobyte.String(extension.Value)
		var names cryptobyte.String
		if !input.ReadASN1(&names, cbasn1.SEQUENCE) {
			return nil, errors.New("the certificate's alternative names cannot be read")
		}
		for !names.Empty() {
			var name cryptobyte.String
			var tag cbasn1.Tag
			if !names.ReadAnyASN1(&name, &tag) {
				return nil, errors.New("the certificate's alternative names cannot be read")
			}
			if tag == cbasn1.Tag(uniformResourceIdentifier).ContextSpecific() {
				uris = append(uris, string(name))
			}
		}
	}
	return uris, nil
}

var oidSubjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}

func ipNames(c *certificate) ([]string, error) {
	ips := make([]string, len(c.IPAddresses))
	for i, ip := range c.IPAddresses {
		ips[i] = ip.String()
	}
	return ips, nil
}

// spiffeID is the SPIFFE ID of a workload's X.509-SVID. SPIFFE allows exactly one URI among the alternative
// names: a certificate with another beside it is no SVID. An authority's certificate is none either, nor is
// one with an ID that somebody could read as another, such as spiffe://td/a/../admin.
func spiffeID(c *certificate) ([]string, error) {
	uris, err := uriNames(c)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(uris, spiffe.IsID) {
		return nil, nil
	}
	if len(uris) > 1 {
		return nil, errors.New("the certificate has a SPIFFE ID beside other URIs, " +
			"which the SPIFFE X.509-SVID standard forbids")
	}
	if err := spiffe.CheckID(uris[0]); err != nil {
		return nil, err
	}
	if err := spiffe.CheckLeaf(c.Certificate); err != nil {
		return nil, err
	}
	return uris, nil
}

// certValueNames lists the {cert.*} placeholders for an error message.
func certValueNames() string {
	names := slices.Sorted(maps.Keys(certValues))
	names = slices.DeleteFunc(names, func(n string) bool { return strings.HasPrefix(n, "issuer.") })
	for i, n := range names {
		names[i] = "{cert." + n + "}"
	}
	return strings.Join(names, " ") + " and {cert.issuer.cn} and the like"
}

// nearestPlaceholder returns the placeholder that a mistyped one was probably meant to be, or "". It also finds one
// without "cert.", which people forget.
func nearestPlaceholder(mistyped string, allowJWT bool) string {
	var whole []string
	if allowJWT {
		whole = append(whole, "jwt")
	}
	names := slices.Collect(maps.Keys(certValues))
	for _, name := range names {
		whole = append(whole, "cert."+name)
	}
	name, isCert := strings.CutPrefix(mistyped, "cert.")
	if !isCert {
		if meant := setting.Nearest(mistyped, whole); meant != "" {
			return meant
		}
	}
	if meant := setting.Nearest(name, names); meant != "" {
		return "cert." + meant
	}
	return ""
}
