package esrealm_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/testing/esrealm"
)

// A realm with a symmetric key, a role mapping, and a token that it takes.
func Example() {
	key := []byte("a symmetric key of thirty-two bytes or more")
	node, err := esrealm.NewHandler(esrealm.Config{
		Realms: []esrealm.Realm{{
			Name:                       "jwt1",
			AllowedIssuer:              "https://issuer.example.com",
			AllowedAudiences:           []string{"elasticsearch"},
			AllowedSignatureAlgorithms: []string{"HS256"},
			HMACKey:                    string(key),
			Claims:                     esrealm.Claims{Principal: "sub", Groups: "roles"},
			ClientAuthentication:       esrealm.ClientAuthentication{Type: esrealm.ClientAuthenticationNone},
		}},
		RoleMappings: map[string]esrealm.RoleMapping{
			"analysts": {Roles: []string{"viewer"}, Rules: []byte(`{"field":{"groups":"analysts"}}`)},
		},
	})
	if err != nil {
		panic(err)
	}

	signer := must(jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: key}, nil))
	token := must(jwt.Signed(signer).Claims(map[string]any{
		"iss": "https://issuer.example.com", "sub": "alice", "aud": "elasticsearch", "roles": []string{"analysts"},
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(),
	}).Serialize())

	request := httptest.NewRequest(http.MethodGet, "/_security/_authenticate", http.NoBody)
	request.Header.Set("Authorization", "Bearer "+token)
	response := httptest.NewRecorder()
	node.ServeHTTP(response, request)
	var user struct {
		Username string
		Roles    []string
	}
	if err := json.NewDecoder(response.Body).Decode(&user); err != nil {
		panic(err)
	}
	fmt.Println(response.Code, user.Username, user.Roles)
	// Output: 200 alice [viewer]
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
