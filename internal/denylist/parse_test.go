package denylist_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/denylist"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/x500"
)

const (
	sum = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
	pin = "ABEiM0RVZneImaq7zN3u/wARIjNEVWZ3iJmqu8zd7v8="
)

func TestFileAsItComes(t *testing.T) {
	tests := map[string]struct {
		text string
		want int
	}{
		"empty":                 {"", 0},
		"comments only":         {"# nobody\n\n  # yet", 0},
		"byte order mark":       {"\ufefffingerprint " + sum, 1},
		"byte order mark alone": {"\ufeff", 0},
		"carriage returns":      {"# who left\r\n\r\nsubject CN=x\r\nfingerprint " + sum + "\r\n", 2},
		"no end of line":        {"subject CN=x\nsubject CN=y", 2},
		"the same twice":        {"subject CN=x\nsubject cn = X\nspki " + sum + "\nspki " + pin, 2},
		"every kind": {
			"fingerprint " + sum + "\nspki " + pin + "\nserial 1 issuer CN=a\nserial 1 issuer CN=b\nsubject CN=x", 5,
		},
		"as openssl prints it": {"serial=4711 issuer=CN=a\nserial=4711\tissuer CN=b\nsubject=CN=x\nfingerprint=" + sum, 4},
		"the same in two ways": {"serial=4711 issuer CN=a\nserial 0x4711 issuer CN=a\nserial 47:11 issuer CN=a", 1},
		"an escaped space":     {`subject CN=a\E2\80\8Bb`, 1},
		"an escaped star":      {"subject CN=\\2A\nsubject CN=svc-\\*", 2},
		"a host's wildcard":    {"subject CN=*.example.com\nsubject CN=\"*.example.org\"", 2},
		"a hexadecimal value":  {"subject CN=#0c0141\nsubject O= #0c0141", 2},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, tt.want, parse(t, tt.text).Len())
		})
	}
}

func TestParseRefuses(t *testing.T) {
	sha1 := sum[:40]
	tests := map[string]struct{ text, want string }{
		"a fingerprint without a keyword": {
			sum, "line 1: 64 hexadecimal digits without a keyword: write fingerprint before them, or spki",
		},
		"one with colons":         {colons(sum), "write fingerprint before them"},
		"a pin without a keyword": {pin, "write spki before it"},
		"a serial number without a keyword": {
			"0xC0FFEE", "a number without a keyword: write `serial <number> issuer <name>`",
		},
		"a serial and issuer without one": {
			"C0FFEE issuer CN=x", "a number without a keyword: write `serial <number> issuer <name>`",
		},
		"40 digits without a keyword": {sha1, "40 hexadecimal digits without a keyword: for a serial number"},
		"a name without a keyword":    {"CN=alice, O=Acme", "a name without a keyword: write subject before it"},
		"an unknown keyword":          {"user alice", "it begins with no keyword: write `fingerprint <SHA-256>`"},
		"openssl's line":              {"sha256 Fingerprint=" + colons(sum), "it begins with no keyword"},
		"a keyword alone":             {"fingerprint", "fingerprint without a value: write the certificate's SHA-256"},
		"spki alone": {
			"spki", "spki without a value: write the SHA-256 of the certificate's SubjectPublicKeyInfo",
		},
		"serial alone":  {"serial", "write the number in hexadecimal"},
		"subject alone": {"subject", "the name is empty"},
		"a SHA-1 fingerprint": {
			"fingerprint " + colons(sha1),
			"fingerprint with 40 digits, which is SHA-1: write the certificate's SHA-256 fingerprint, 64",
		},
		"a short fingerprint":           {"fingerprint " + sum[1:], "write the certificate's SHA-256 fingerprint"},
		"a long fingerprint":            {"fingerprint " + sum + "00", "write the certificate's SHA-256 fingerprint"},
		"a fingerprint that is not hex": {"fingerprint g" + sum[1:], "write the certificate's SHA-256 fingerprint"},
		"colons in odd places": {
			"fingerprint 0:01" + colons(sum)[4:], "write the certificate's SHA-256 fingerprint",
		},
		"a colon at the end": {
			"fingerprint " + colons(sum) + ":", "write the certificate's SHA-256 fingerprint",
		},
		"a fingerprint in base64": {"fingerprint " + pin, "64 hexadecimal digits"},
		"two fingerprints": {
			"fingerprint " + sum + " " + sum, "write the certificate's SHA-256 fingerprint",
		},
		"a comment behind a fingerprint": {"fingerprint " + sum + " # bob", "a comment has a line of its own"},
		"a pin of another length":        {"spki ABEiM0RVZneI", "64 hexadecimal digits or 44 characters of base64"},
		"a pin with stray bits":          {"spki " + pin[:42] + "9=", "44 characters of base64"},
		"a serial without an issuer":     {"serial C0FFEE", "serial without an issuer"},
		"a serial with an issuer alone":  {"serial C0FFEE issuer", "serial without an issuer"},
		"a serial with a name alone":     {"serial C0FFEE CN=Users", "serial without an issuer"},
		"a serial that is not hex":       {"serial 12G4 issuer CN=x", `serial "12G4": write the number in hexadecimal`},
		"a serial with single digits":    {"serial 1:2 issuer CN=x", "write the number in hexadecimal"},
		"a serial of nothing":            {"serial 0x issuer CN=x", "write the number in hexadecimal"},
		"a negative serial":              {"serial -05 issuer CN=x", "write the number in hexadecimal"},
		"a serial that is too long": {
			"\nserial " + strings.Repeat("a", 41) + " issuer CN=x", "line 2: serial \"" + strings.Repeat("a", 41) +
				"\" has 21 bytes, and no authority may use more than 20",
		},
		"a serial that is a fingerprint": {
			"serial " + sum + " issuer CN=x",
			"bytes, and no authority may use more than 20 (RFC 5280): if it is a fingerprint, write `fingerprint <SHA-256>`",
		},
		"a serial that is far too long": {"serial " + strings.Repeat("1", 4000) + " issuer CN=x", "has 2000 bytes"},
		"an issuer that is no name":     {"serial 5 issuer Users", `issuer "Users": x500: not a distinguished name`},
		"a subject that is no name": {
			"subject alice", `subject "alice": x500: not a distinguished name: "alice" is not of the form type=value; write ` +
				`the name as in RFC 2253`,
		},
		"a subject with slashes":    {"subject /O=Acme/CN=alice", "is not an attribute type"},
		"a subject that ends early": {"subject CN=alice,", "ends with a separator"},
		"a subject with an unknown type": {
			"subject CN=alice,FOO=bar", `the attribute type "FOO" is unknown: write its number`,
		},
		"a serial that can be decimal": {
			"serial 4711 issuer CN=x",
			"serial 4711 can be hexadecimal, as `openssl x509 -serial` prints it, or decimal, as in Caddy's access log: if it " +
				"is hexadecimal, write 0x4711; if it is decimal, write 0x1267",
		},
		"a short one": {
			"serial 10 issuer CN=x", "if it is hexadecimal, write 0x10; if it is decimal, write 0xA",
		},
		"one of 64 bits": {
			"serial 10101010101010101010 issuer CN=x", "if it is decimal, write 0x8C2DFF2B5F56F312",
		},
		"a decimal serial of 20 bytes": {
			"serial 665310145326253243452873482385902349023485123456 issuer CN=x",
			"serial 665310145326253243452873482385902349023485123456 is decimal: write " +
				"0x748989E9707D78A44475B9EADB2011643FE45B80",
		},
		"a number of digits that is neither": {"serial " + strings.Repeat("9", 60) + " issuer CN=x", "has 30 bytes"},
		"a decimal serial of openssl -text":  {"serial 4711 (0x1267) issuer CN=x", "if it is decimal, write 0x1267"},
		"a subject with an unusual number":   {"subject 2.05.4.3=alice", `the attribute type "2.05.4.3" is unknown`},
		"a comment behind a subject": {
			"subject CN=alice # left", `a comment has a line of its own; if the # is part of the name, write \#`,
		},
		"a comment behind an issuer": {"serial 5 issuer CN=x\t# bob's laptop", "a comment has a line of its own"},
		"a wildcard":                 {"subject CN=*,*", "there are no wildcards"},
		"a subject in invalid UTF-8": {"subject CN=Zo\xeb", "it is not UTF-8"},
		"a NUL":                      {"subject CN=a\x00b", "the invisible character U+0000"},
		"an escape sequence":         {"subject CN=a\x1b[2Kb", "the invisible character U+001B"},
		"a space of zero width": {
			"subject CN=a\u200b", "the invisible character U+200B: remove it, or where a name has it, write E2 80 8B with a " +
				"backslash before each byte",
		},
		"a space that does not break": {"subject\u00a0CN=a", "the invisible character U+00A0"},
		"a byte order mark inside": {
			"subject CN=a\n\ufeffsubject CN=b", "line 2: it has the invisible character U+FEFF",
		},
		"carriage returns as ends of lines": {"subject CN=a\rsubject CN=b", "the line end U+000D"},
		// In an editor that begins a new line here, the file seems to deny somebody.
		"a comment with a carriage return":     {"# who left\rsubject CN=a\r", "line 1: it has the line end U+000D in it"},
		"a comment with a line tabulation":     {"# who left\vsubject CN=a", "the line end U+000B"},
		"a comment with a form feed":           {"# who left\fsubject CN=a", "the line end U+000C"},
		"a comment with a next line":           {"# who left\u0085subject CN=a", "the line end U+0085"},
		"a comment with a line separator":      {"# who left\u2028subject CN=a", "the line end U+2028"},
		"a comment with a paragraph separator": {"# who left\u2029subject CN=a", "the line end U+2029"},
		// Elasticsearch's role mappings have wildcards in names ("dn": "*,ou=admin,dc=example,dc=com").
		"a wildcard for a value": {
			"subject CN=*,O=contractors",
			`there are no wildcards, a name is the whole name of a certificate; if the * is part of it, write \2A`,
		},
		"a wildcard for what follows":    {"subject CN=svc-*", "there are no wildcards"},
		"a wildcard for what precedes":   {"subject CN=*@contractors.example", "there are no wildcards"},
		"a wildcard in quotes":           {`subject CN="*"`, "there are no wildcards"},
		"a wildcard for part of a label": {"subject CN=*.*.example.com", "there are no wildcards"},
		"a wildcard in an issuer":        {"serial 0x1 issuer CN=*", "there are no wildcards"},
		// What `openssl x509 -subject` prints without utf8 among its -nameopt (openssl/openssl#3306).
		"a byte of Latin-1":                  {`subject CN=J\F6rg`, "the bytes after the backslashes are not UTF-8"},
		"a byte of Latin-1 in a serial":      {`serial 0x1 issuer CN=J\f6rg`, "are not UTF-8"},
		"half a character":                   {`subject CN=\C3\B6\C3`, "are not UTF-8"},
		"half a character, then letters":     {`subject CN=\C3b6`, "are not UTF-8"},
		"a byte in quotes":                   {`subject CN="J\F6rg"`, "are not UTF-8"},
		"a character by its number":          {`subject CN=Jo\U0308rg`, "a backslash before the letter U means nothing"},
		"a character of 32 bits":             {`subject CN=\W0001F600`, "a backslash before the letter W"},
		"bytes as in C":                      {`subject ST=\xC3\x96st,C=SE`, "a backslash before the letter x"},
		"a character as in JSON":             {`subject CN=J\u00f6rg`, "a backslash before the letter u"},
		"a domain of Windows":                {`subject CN=CORP\zoe`, `write a backslash as \\`},
		"a domain that is hexadecimal":       {`subject CN=CORP\decker`, "are not UTF-8"},
		"UTF-16":                             {"\xff\xfes\x00u\x00", "the file is UTF-16: save it as UTF-8"},
		"UTF-16 with the large end in front": {"\xfe\xff\x00s\x00u", "the file is UTF-16: save it as UTF-8"},
		"a line that is too long": {
			"subject CN=" + strings.Repeat("a", 8<<10), "more than 8192: deny a certificate with such a name by its fingerprint",
		},
		"the line":                 {"# comment\r\n\r\nsubject CN=x\r\nsubject x\r\n", "line 4: "},
		"a file that is too large": {strings.Repeat("#", denylist.MaxSize+1), "more than 33554432"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			list, err := denylist.Parse([]byte(tt.text))
			require.ErrorContains(t, err, "deny list: ")
			require.ErrorContains(t, err, tt.want)
			require.Nil(t, list)
			require.Less(t, len(err.Error()), 1000)
		})
	}
}

// TestAnEscapedBlankAtTheEndOfALineIsPartOfTheName (cannatag/ldap3#667, go-ldap/ldap#603): the documented
// commands print such lines, and one of them must not refuse the whole file.
func TestAnEscapedBlankAtTheEndOfALineIsPartOfTheName(t *testing.T) {
	cert := named(t, pkix.Name{CommonName: " bob "}.ToRDNSequence(), pkix.Name{CommonName: "Users CA "}.ToRDNSequence())
	for text, want := range map[string]string{
		"subject=CN=\\ bob\\ ":                    denylist.Subject,
		"subject CN=\\ bob\\ \r\n":                denylist.Subject,
		"subject CN=\\ bob\\  \t \n":              denylist.Subject,
		"subject CN=\\ bob\\20":                   denylist.Subject,
		"serial=01 issuer=CN=Users CA\\ ":         denylist.Serial,
		"serial 0x1 issuer CN=Users CA\\ \n# end": denylist.Serial,
		"subject CN=bob\\\\ ":                     "", // it ends with a backslash, and then a blank
	} {
		why, _ := parse(t, text).Denies(cert)
		require.Equal(t, want, why, text)
	}
	for _, text := range []string{"subject CN=bob\\", "subject CN=bob\\\r\n"} {
		_, err := denylist.Parse([]byte(text))
		require.ErrorContains(t, err, "ends with a backslash", text)
	}
}

func TestParseReportsEveryBadLine(t *testing.T) {
	list, err := denylist.Parse([]byte("subject x\nsubject CN=x\nserial 5\n\nuser bob\n"))
	require.Nil(t, list)
	for _, line := range []string{"line 1: ", "line 3: ", "line 5: "} {
		require.ErrorContains(t, err, line)
	}
}

func TestParseReportsAFewOfMany(t *testing.T) {
	_, err := denylist.Parse([]byte(strings.Repeat("bob\n", 1000)))
	require.ErrorContains(t, err, "line 10: ")
	require.ErrorContains(t, err, "and 990 more")
	require.NotContains(t, err.Error(), "line 11: ")
}

// entries returns a file with n entries of each kind.
func entries(n int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "fingerprint %064x\nspki %064x\n", i, i)
		fmt.Fprintf(&text, "serial 0x%x issuer CN=Issuing CA %d, O=Acme, C=DE\n", i, i%3)
		fmt.Fprintf(&text, "subject CN=client-%d, OU=data, O=analysts, C=DE\n", i)
	}
	return text.String()
}

func TestManyEntries(t *testing.T) {
	list := parse(t, entries(10_000))
	require.Equal(t, 40_000, list.Len())
	last := named(t,
		pkix.Name{
			Country: []string{"DE"}, Organization: []string{"analysts"}, OrganizationalUnit: []string{"data"},
			CommonName: "client-9999",
		}.ToRDNSequence(),
		pkix.Name{Country: []string{"DE"}, Organization: []string{"Acme"}, CommonName: "Issuing CA 0"}.ToRDNSequence())
	last.SerialNumber = big.NewInt(9999)
	why, _ := list.Denies(last)
	require.Equal(t, denylist.Serial, why)
	last.SerialNumber = big.NewInt(9998) // of another authority
	why, _ = list.Denies(last)
	require.Equal(t, denylist.Subject, why)
}

func BenchmarkParse100000(b *testing.B) {
	data := []byte(entries(25_000))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := denylist.Parse(data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDeniesOf100000(b *testing.B) {
	for kind, text := range map[string]string{
		"none":        "",
		"fingerprint": grep(entries(100_000), denylist.Fingerprint),
		"serial":      grep(entries(100_000), denylist.Serial),
		"subject":     grep(entries(100_000), denylist.Subject),
		"all":         entries(25_000),
	} {
		list := parse(b, text)
		b.Run(kind, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, denied := list.Denies(client); denied {
					b.Fatal("denied")
				}
			}
		})
	}
}

func grep(text, keyword string) string {
	var found strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, keyword) {
			found.WriteString(line)
		}
	}
	return found.String()
}

// TestNothingOfAFileThatIsNoListIsQuoted: somebody may configure the name of a file with a secret.
func TestNothingOfAFileThatIsNoListIsQuoted(t *testing.T) {
	for name, file := range map[string]string{
		"a private key": "-----BEGIN PRIVATE KEY-----\nMIIEvgIBADANBgkqhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----\n",
		"a password":    "MIIEvgIBADAN hunter2\n",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := denylist.Parse([]byte(file))
			require.ErrorContains(t, err, "write ")
			require.NotContains(t, err.Error(), "MIIE")
			require.NotContains(t, err.Error(), "hunter2")
			require.NotContains(t, err.Error(), "\n")
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("# who left\r\nfingerprint " + sum + "\nspki " + pin +
		"\nserial 0xC0FFEE issuer CN=Users,O=Acme\nsubject CN=\"a, b\" + OU=c;O=\\C3\\A9"))
	f.Add([]byte("\ufeffsubject OID.1.2.3=#0c0141\n" + sum + "\nserial 5\nsubject CN=a # b"))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := denylist.Parse(data)
		if err != nil {
			require.Nil(t, list)
			require.ErrorContains(t, err, "deny list: ")
			return
		}
		// There are no more entries than lines with entries, and none only if there are
		// no such lines.
		lines := 0
		for line := range strings.Lines(strings.TrimPrefix(string(data), "\ufeff")) {
			if line = strings.Trim(line, " \t\r\n"); line != "" && line[0] != '#' {
				lines++
			}
		}
		require.LessOrEqual(t, list.Len(), lines)
		require.Equal(t, lines == 0, list.Len() == 0)
		list.Denies(client)
	})
}

// The name of any certificate can be written into the file, as Java prints it and as in
// RFC 2253, unless it ends with a tab.
func FuzzSubject(f *testing.F) {
	f.Add(client.RawSubject)
	f.Add([]byte("0\x0f1\r0\v\x06\x03U\x04\n\x13\x04Acm\t")) // O=Acm and a tab
	f.Fuzz(func(t *testing.T, der []byte) {
		name, err := x500.Parse(der)
		if err != nil {
			return
		}
		for _, dn := range []string{name.RFC2253(), name.String()} {
			list, err := denylist.Parse([]byte("subject " + dn))
			if err != nil || strings.TrimRight(dn, " \t\r\n") != dn {
				continue
			}
			_, denied := list.Denies(&x509.Certificate{SerialNumber: new(big.Int), RawSubject: der})
			require.True(t, denied, dn)
		}
	})
}
