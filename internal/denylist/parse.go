package denylist

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/textfile"
)

// maxLine is how many bytes a line can have. The names that people use are much
// shorter.
const maxLine = 8 << 10

// Parse reads the file. A file without entries denies nobody. The error names the
// lines to mend, and says what to write.
func Parse(data []byte) (*List, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("deny list: the file has %d bytes, more than %d", len(data), MaxSize)
	}
	if bytes.HasPrefix(data, []byte{0xff, 0xfe}) || bytes.HasPrefix(data, []byte{0xfe, 0xff}) {
		return nil, errors.New("deny list: the file is UTF-16: save it as UTF-8")
	}
	if bytes.Contains(data, []byte("-----BEGIN ")) {
		return nil, errors.New("deny list: the file is PEM, and not a list: " +
			"write a line for each certificate, such as `fingerprint <SHA-256>`, " +
			"which `openssl x509 -noout -fingerprint -sha256 -in <file>` prints")
	}
	p := parser{list: &List{
		fingerprints: map[[sha256.Size]byte]struct{}{},
		spkis:        map[[sha256.Size]byte]struct{}{},
		issuers:      map[nameKey]int{},
		serials:      map[serialKey]struct{}{},
		subjects:     map[nameKey]struct{}{},
	}}
	number := 0
	for line := range bytes.Lines(bytes.TrimPrefix(data, []byte("\ufeff"))) {
		number++
		if err := p.line(line); err != nil {
			p.problems.Add(number, err)
		}
	}
	if err := p.problems.Err(); err != nil {
		return nil, fmt.Errorf("deny list: %w", err)
	}
	return p.list, nil
}

// parser collects the entries of a file and what is wrong with it.
type parser struct {
	list     *List
	problems textfile.Problems

	// The issuer of the last serial number, and its number. Mostly the next one has the same issuer.
	lastIssuer string
	lastNumber int
}

func (p *parser) line(line []byte) error {
	switch {
	case len(line) > maxLine:
		return fmt.Errorf("it has %d bytes, more than %d: "+
			"deny a certificate with such a name by its fingerprint", len(line), maxLine)
	case !utf8.Valid(line):
		return errors.New("it is not UTF-8: save the file as UTF-8")
	}
	text := trim(string(line), blanks+"\r\n")
	if text == "" {
		return nil
	}
	if i := strings.IndexAny(text, otherLineEnds); i >= 0 {
		r, _ := utf8.DecodeRuneInString(text[i:])
		return fmt.Errorf("it has the line end %U in it, which many editors show as one: "+
			"save the file with LF or CRLF at the end of each line", r)
	}
	if text[0] == '#' {
		return nil
	}
	if i := strings.IndexFunc(text, invisible); i >= 0 {
		r, size := utf8.DecodeRuneInString(text[i:])
		return fmt.Errorf("it has the invisible character %U: "+
			"remove it, or where a name has it, write % X with a backslash before each byte", r, text[i:i+size])
	}
	keyword, value, asPrinted := cutKeyword(text)
	switch keyword {
	case Fingerprint:
		return p.fingerprint(value)
	case SPKI:
		return p.spki(value)
	case Serial:
		return p.serial(value, asPrinted)
	case Subject:
		return p.subject(value)
	default:
		return errors.New(advise(text))
	}
}

// cutKeyword splits a text after its first word, which it returns in lower case. An equals sign can
// separate the two, as OpenSSL prints `serial=4A3F` and `subject=CN=alice`: then asPrinted is true.
func cutKeyword(text string) (keyword, value string, asPrinted bool) {
	end := strings.IndexAny(text, blanks+"=")
	if end < 0 {
		return strings.ToLower(text), "", false
	}
	asPrinted = text[end] == '='
	return strings.ToLower(text[:end]), trim(text[end+1:], blanks), asPrinted
}

// cutWord splits a text after its first word.
func cutWord(text string) (word, rest string) {
	end := strings.IndexAny(text, blanks)
	if end < 0 {
		return text, ""
	}
	return text[:end], trim(text[end:], blanks)
}

// trim removes the characters of a set around a text, but not a blank with a backslash before it, which is
// part of a name (RFC 2253 section 2.4):
//
//	`subject CN=bob\ `     keeps its end
//	`subject CN=bob\\ `    does not: the backslash is escaped itself
func trim(text, set string) string {
	text = strings.TrimLeft(text, set)
	trimmed := strings.TrimRight(text, set)
	backslashes := len(trimmed) - len(strings.TrimRight(trimmed, `\`))
	if backslashes%2 == 1 && len(trimmed) < len(text) && strings.IndexByte(blanks, text[len(trimmed)]) >= 0 {
		return text[:len(trimmed)+1]
	}
	return trimmed
}

// otherLineEnds are the characters that end a line in some editors, but not here. With one of them after
// a comment, the next line would be part of the comment, and deny nobody.
const otherLineEnds = "\r\v\f\u0085\u2028\u2029"

// blanks separate words.
const blanks = " \t"

// invisible reports whether an editor or a terminal may not show a character. Text
// that is copied from a web page or a mail has such characters, and then the line
// does not say what its reader sees.
func invisible(r rune) bool {
	return r != ' ' && r != '\t' && (unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Z))
}

func (p *parser) fingerprint(value string) error {
	sum, ok := parseHexSum(value)
	if !ok {
		return badSum(value, "fingerprint", "the certificate's SHA-256 fingerprint, 64 hexadecimal digits, "+
			"as `openssl x509 -noout -fingerprint -sha256` prints them")
	}
	p.list.fingerprints[sum] = struct{}{}
	return nil
}

func (p *parser) spki(value string) error {
	sum, ok := parseHexSum(value)
	if !ok {
		sum, ok = parsePin(value)
	}
	if !ok {
		return badSum(value, "spki", "the SHA-256 of the certificate's SubjectPublicKeyInfo, "+
			"as 64 hexadecimal digits or 44 characters of base64")
	}
	p.list.spkis[sum] = struct{}{}
	return nil
}

// badSum returns the error for a value that is no hash.
func badSum(value, keyword, want string) error {
	first, rest := cutWord(value)
	digits := strings.ReplaceAll(first, ":", "")
	switch {
	case value == "":
		return fmt.Errorf("%s without a value: write %s", keyword, want)
	case strings.HasPrefix(rest, "#"):
		return errors.New("a comment has a line of its own")
	case len(digits) == 40 && isHex(digits):
		return fmt.Errorf("%s with 40 digits, which is SHA-1: write %s", keyword, want)
	default:
		return fmt.Errorf("%s %s: write %s", keyword, excerpt(value), want)
	}
}

// serial reads a hexadecimal serial number and its issuer. A number that could be decimal too is refused,
// unless it is asPrinted by OpenSSL: `serial=4711` is hexadecimal.
func (p *parser) serial(value string, asPrinted bool) error {
	text, rest := cutWord(value)
	if err := refuseAmbiguous(text); err != nil && !asPrinted {
		return err
	}
	number, ok := parseSerial(text)
	if ok && len(number) > maxSerial {
		return fmt.Errorf("serial %s has %d bytes, and no authority may use more than %d (RFC 5280): "+
			"if it is a fingerprint, write `fingerprint <SHA-256>`, "+
			"or deny the certificate by its own", excerpt(text), len(number), maxSerial)
	}
	if !ok {
		return fmt.Errorf("serial %s: write the number in hexadecimal "+
			"as `openssl x509 -noout -serial` prints it, then issuer and the name of the authority", excerpt(text))
	}
	keyword, dn, _ := cutKeyword(rest)
	if keyword != "issuer" || dn == "" {
		return errors.New("serial without an issuer, though each authority counts for itself: " +
			"write `serial <number> issuer <name>`, such as `serial 4A:3F issuer CN=Users,O=Acme`")
	}
	if dn != p.lastIssuer {
		key, err := textKey(dn)
		if err != nil {
			return badName("issuer", dn, err)
		}
		issuer, known := p.list.issuers[key]
		if !known {
			issuer = len(p.list.issuers)
			p.list.issuers[key] = issuer
		}
		p.lastIssuer, p.lastNumber = dn, issuer
	}
	p.list.serials[serialKey{number, p.lastNumber}] = struct{}{}
	return nil
}

func (p *parser) subject(dn string) error {
	key, err := textKey(dn)
	if err != nil {
		return badName("subject", dn, err)
	}
	p.list.subjects[key] = struct{}{}
	return nil
}

func badName(keyword, dn string, err error) error {
	return fmt.Errorf("%s %s: %w; write the name as in RFC 2253, "+
		"such as CN=alice,OU=data,O=Acme", keyword, excerpt(dn), err)
}

// advise returns what to write for a line without a keyword.
func advise(text string) string {
	word, rest := cutWord(text)
	_, isSum := parseHexSum(word)
	_, isPin := parsePin(word)
	_, isSerial := parseSerial(word)
	_, notName := textKey(text)
	switch {
	case isSum:
		return "64 hexadecimal digits without a keyword: " +
			"write fingerprint before them, or spki if they are of the public key"
	case isPin:
		return "a hash in base64 without a keyword: write spki before it"
	case isSerial && rest == "" && len(strings.ReplaceAll(word, ":", "")) == 40:
		return "40 hexadecimal digits without a keyword: " +
			"for a serial number write `serial <number> issuer <name>`; " +
			"a SHA-1 fingerprint does not do, write `fingerprint <SHA-256>`"
	case isSerial:
		return "a number without a keyword: write `serial <number> issuer <name>`"
	case notName == nil:
		return "a name without a keyword: write subject before it"
	default:
		// The line is not quoted: the file may be another one, with a secret in it.
		return "it begins with no keyword: " +
			"write `fingerprint <SHA-256>`, `spki <SHA-256>`, `serial <number> issuer <name>` or `subject <name>`"
	}
}

// excerpt quotes a text, or its beginning if it is long.
func excerpt(s string) string {
	const most = 60
	runes := []rune(s[:min(len(s), most*utf8.UTFMax)])
	if len(runes) <= most {
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprintf("%q…", string(runes[:most]))
}
