package file

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
)

// errPSSKey is for the key that one makes who takes the name of PS256 for the kind of the key.
var errPSSKey = errors.New("its key is of the kind RSA-PSS, which no JWKS has; PS256 is made with a plain RSA key: " +
	"make one with `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out <new file>`, " +
	"and write `algorithm PS256`")

var errExplicitCurve = errors.New("its curve is written out (explicit EC parameters) where it must be named: " +
	"convert it with `openssl pkey -in <file> -ec_param_enc named_curve -out <new file>`")

// The kinds of keys by which PKCS#8 and SubjectPublicKeyInfo name them.
var (
	oidRSA    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidRSAPSS = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10} // RFC 4055 section 3.1
	oidEC     = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}      // RFC 5480 section 2.1.1
)

// whyUnreadable says why crypto/x509 cannot read a key, and what to do about it, which its own error does
// not. The error names the kind of the key or its curve, and shows nothing of the key.
// The key may have the form of any of the labels.
func whyUnreadable(label string, labels []string, der []byte) error {
	var kind pkix.AlgorithmIdentifier
	ok := false
	for _, form := range labels {
		if kind, ok = statedKind(form, der); ok {
			break
		}
	}
	switch {
	case !ok || kind.Algorithm.Equal(oidRSA):
		return fmt.Errorf("its %s is damaged", label)
	case kind.Algorithm.Equal(oidRSAPSS):
		return errPSSKey
	case !kind.Algorithm.Equal(oidEC):
		return fmt.Errorf("its key is of a kind (%s) that cannot be used: "+
			"Elasticsearch takes RSA and ECDSA keys", kind.Algorithm)
	case kind.Parameters.Tag == asn1.TagSequence:
		return errExplicitCurve
	}
	var curve asn1.ObjectIdentifier
	if rest, err := asn1.Unmarshal(kind.Parameters.FullBytes, &curve); err != nil || len(rest) > 0 || isCurve(curve) {
		return fmt.Errorf("its %s is damaged", label)
	}
	return fmt.Errorf("its curve (%s) cannot be used: use P-256, P-384 or P-521", curve)
}

// statedKind reads what kind of key it says to be that has the form of a label.
func statedKind(label string, der []byte) (kind pkix.AlgorithmIdentifier, ok bool) {
	var err error
	switch label {
	case "PRIVATE KEY": // RFC 5958: encoding/asn1 ignores the members that follow
		var key struct {
			Version int
			Kind    pkix.AlgorithmIdentifier
		}
		_, err = asn1.Unmarshal(der, &key)
		kind = key.Kind
	case "PUBLIC KEY":
		var key struct{ Kind pkix.AlgorithmIdentifier }
		_, err = asn1.Unmarshal(der, &key)
		kind = key.Kind
	case "EC PRIVATE KEY": // RFC 5915
		var key struct {
			Version    int
			Private    []byte
			Parameters asn1.RawValue `asn1:"optional,explicit,tag:0"`
		}
		if _, err = asn1.Unmarshal(der, &key); err == nil {
			kind.Algorithm = oidEC
			_, err = asn1.Unmarshal(key.Parameters.Bytes, &kind.Parameters)
		}
	default:
		return kind, false
	}
	return kind, err == nil
}

// isCurve reports whether crypto/x509 knows a curve, so that it is something else that is wrong.
func isCurve(oid asn1.ObjectIdentifier) bool {
	return slices.ContainsFunc([]asn1.ObjectIdentifier{
		{1, 3, 132, 0, 33}, {1, 2, 840, 10045, 3, 1, 7}, {1, 3, 132, 0, 34}, {1, 3, 132, 0, 35},
	}, oid.Equal)
}
