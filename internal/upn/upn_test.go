package upn_test

import (
	"encoding/asn1"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/upn"
)

var principalName = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 20, 2, 3}

// names returns the content of a subject alternative name extension.
func names(t testing.TB, add ...func(*cryptobyte.Builder)) []byte {
	t.Helper()
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, a := range add {
			a(b)
		}
	})
	der, err := b.Bytes()
	require.NoError(t, err)
	return der
}

func other(kind asn1.ObjectIdentifier, tag cbasn1.Tag, text string) func(*cryptobyte.Builder) {
	zero := cbasn1.Tag(0).ContextSpecific().Constructed()
	return func(b *cryptobyte.Builder) {
		b.AddASN1(zero, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(kind)
			b.AddASN1(zero, func(b *cryptobyte.Builder) {
				b.AddASN1(tag, func(b *cryptobyte.Builder) { b.AddBytes([]byte(text)) })
			})
		})
	}
}

func email(text string) func(*cryptobyte.Builder) {
	return func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.Tag(1).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes([]byte(text)) })
	}
}

func TestUserPrincipalNames(t *testing.T) {
	alice := other(principalName, cbasn1.UTF8String, "alice@corp.example.com")
	bob := other(principalName, cbasn1.UTF8String, "bob@corp.example.com")
	kerberos := other(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 2, 2}, cbasn1.SEQUENCE, "")
	for name, tt := range map[string]struct {
		extension []byte
		want      []string
	}{
		"none":                           {names(t), nil},
		"one":                            {names(t, alice), []string{"alice@corp.example.com"}},
		"two, in their order":            {names(t, bob, alice), []string{"bob@corp.example.com", "alice@corp.example.com"}},
		"beside names of other kinds":    {names(t, email("a@b"), kerberos, alice), []string{"alice@corp.example.com"}},
		"an address is no such name":     {names(t, email("alice@corp.example.com")), nil},
		"empty, which is for others":     {names(t, other(principalName, cbasn1.UTF8String, "")), []string{""}},
		"of another type under its name": {names(t, kerberos), nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := upn.Parse(tt.extension)
			require.NoError(t, err)
			require.Equal(t, tt.want, got)
		})
	}
}

// TestWhatIsNoUserPrincipalName is an error, even beside a good one, which must not be used instead.
func TestWhatIsNoUserPrincipalName(t *testing.T) {
	alice := other(principalName, cbasn1.UTF8String, "alice")
	raw := func(b ...byte) func(*cryptobyte.Builder) {
		return func(builder *cryptobyte.Builder) { builder.AddBytes(b) }
	}
	kind, err := asn1.Marshal(principalName)
	require.NoError(t, err)
	withValue := func(value ...byte) func(*cryptobyte.Builder) {
		return raw(append([]byte{0xa0, byte(len(kind) + len(value))}, append(kind, value...)...)...)
	}
	for name, extension := range map[string][]byte{
		"nothing":                     nil,
		"not a sequence":              {0x04, 0x00},
		"data after the names":        append(names(t, alice), 0),
		"an IA5String":                names(t, other(principalName, cbasn1.IA5String, "alice")),
		"a PrintableString":           names(t, other(principalName, cbasn1.PrintableString, "alice")),
		"bytes that are not UTF-8":    names(t, other(principalName, cbasn1.UTF8String, "\xff")),
		"a bad one beside a good one": names(t, alice, other(principalName, cbasn1.IA5String, "alice")),
		"without a value":             names(t, withValue()),
		"without an explicit tag":     names(t, withValue(0x0c, 1, 'a')),
		"data after the value":        names(t, withValue(0xa0, 3, 0x0c, 1, 'a', 0x05, 0)),
		"data after the text":         names(t, withValue(0xa0, 5, 0x0c, 1, 'a', 0x05, 0)),
		"an empty value":              names(t, withValue(0xa0, 0)),
		"a length of BER":             names(t, withValue(0xa0, 0x81, 3, 0x0c, 1, 'a')),
		"without a kind":              names(t, raw(0xa0, 0)),
		"cut short":                   names(t, raw(0xa0, 9, 1)),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := upn.Parse(extension)
			require.Error(t, err)
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(names(f, other(principalName, cbasn1.UTF8String, "alice@corp.example.com"), email("a@b")))
	f.Add(names(f, other(principalName, cbasn1.IA5String, "alice")))
	f.Add([]byte{0x30, 0})
	f.Fuzz(func(t *testing.T, extension []byte) {
		got, err := upn.Parse(extension)
		if err != nil {
			require.Nil(t, got)
			return
		}
		for _, s := range got {
			require.True(t, utf8.ValidString(s))
			require.Contains(t, string(extension), s, "it is as the certificate has it")
		}
	})
}
