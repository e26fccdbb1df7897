package identity

import "github.com/edgejwt/caddy-elasticsearch-jwt/internal/upn"

// userPrincipalNames returns the user principal names in the certificate, by which Active Directory knows a user.
func userPrincipalNames(c *certificate) ([]string, error) {
	var names []string
	for _, extension := range c.Extensions {
		if !extension.Id.Equal(oidSubjectAltName) {
			continue
		}
		found, err := upn.Parse(extension.Value)
		if err != nil {
			return nil, err
		}
		names = append(names, found...)
	}
	return names, nil
}
