package rewrite

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/credential"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/headersize"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/identity"
)

// plainStrip says plainly what strip has to do: what is left of the headers, the size of the lines that strip
// counts, and whether an upgrade is left.
func plainStrip(header http.Header, configured ...string) (left http.Header, size int, upgrade bool) {
	left = header.Clone()
	for name, values := range header {
		if plainProtects(name, configured) || name == "Trailer" {
			delete(left, name)
			continue
		}
		for _, value := range values {
			size += len(name + ": " + value + "\r\n")
		}
	}
	asked := false
	for _, line := range left["Connection"] {
		for option := range strings.SplitSeq(line, ",") {
			option = strings.Trim(option, " \t\r\n")
			switch {
			case option == "":
			case strings.EqualFold(option, "upgrade"):
				asked = true
			default:
				delete(left, http.CanonicalHeaderKey(option))
			}
		}
	}
	protocols := left["Upgrade"]
	delete(left, "Connection")
	delete(left, "Upgrade")
	if asked && len(protocols) == 1 && strings.EqualFold(protocols[0], "websocket") {
		left["Connection"], left["Upgrade"] = []string{"Upgrade"}, []string{"websocket"}
	}
	return left, size, left["Upgrade"] != nil
}

func plainProtects(name string, configured []string) bool {
	folded := plainFold(name)
	for _, pattern := range append([]string{"expect"}, identityHeaders...) {
		prefix, isPrefix := strings.CutSuffix(pattern, "*")
		if folded == pattern || isPrefix && strings.HasPrefix(folded, prefix) {
			return true
		}
	}
	return slices.ContainsFunc(configured, func(c string) bool { return plainFold(c) == folded })
}

func plainFold(name string) string {
	const upper, lower = "ABCDEFGHIJKLMNOPQRSTUVWXYZ_.", "abcdefghijklmnopqrstuvwxyz--"
	folded := []byte(name)
	for i, c := range folded {
		if at := strings.IndexByte(upper, c); at >= 0 {
			folded[i] = lower[at]
		}
	}
	return string(folded)
}

// requireStripped has a rewriter strip headers, and compares that with plainStrip.
func requireStripped(t *testing.T, rw *Rewriter, header http.Header, configured ...string) {
	t.Helper()
	want, wantSize, wantUpgrade := plainStrip(header, configured...)
	r := &http.Request{Header: header.Clone(), Trailer: http.Header{"Authorization": nil}}
	found := rw.Strip(r)
	require.Equal(t, want, r.Header)
	require.Equal(t, wantSize, found.Size)
	require.Equal(t, wantUpgrade, found.Upgrade)
	require.Equal(t, header["Authorization"] != nil && r.Header["Authorization"] == nil, found.Authorization)
	require.Nil(t, r.Trailer)

	swept := header.Clone() // by the transport, to which Connection and Trailer are no more than headers
	size, sent := rw.Sweep(swept, new([1]string))
	require.False(t, sent)
	left, wantSize := http.Header{}, 0
	for name, values := range header {
		if !plainProtects(name, configured) {
			left[name] = values
			wantSize += headersize.Lines(name, values)
		}
	}
	require.Equal(t, left, swept)
	require.Equal(t, wantSize, size)
}

// FuzzStrip: whatever the headers are, no more and no less than the protected ones goes.
func FuzzStrip(f *testing.F) {
	for _, pattern := range identityHeaders {
		f.Add(pattern, strings.ToUpper(strings.ReplaceAll(pattern, "-", "_")), "close", "")
	}
	f.Add("X-User", "x.user", "Upgrade, X-A", "websocket")
	f.Add("X-A", "Trailer", " upgrade ,,", "WebSocket")
	f.Add("Expect", "EXPECT", "upgrade", "h2c")
	f.Add("Connection", "Upgrade", "Authorization", "websocket")
	f.Add("", "\u212a", "", "")
	f.Add("", "0", " ", "0")
	rw := New([]identity.Header{{Name: "Authorization"}, {Name: "X-User"}}, nil)
	f.Fuzz(func(t *testing.T, a, b, connection, upgrade string) {
		header := http.Header{"Accept": {"*/*"}}
		if connection != "" {
			header["Connection"] = []string{connection}
		}
		if upgrade != "" {
			header["Upgrade"] = []string{upgrade}
		}
		header[a] = append(header[a], "evil")
		header[b] = append(header[b], "evil", "evil2")
		requireStripped(t, rw, header, "Authorization", "X-User")
	})
}

// TestStripKnowsEverySpelling: each letter of a protected name in the other case, each hyphen as an underscore
// or a dot, names that begin as a protected one does, and names that nearly do.
func TestStripKnowsEverySpelling(t *testing.T) {
	configured := []string{"Authorization", "X-User", "_odd_", strings.Repeat("Long-", 100) + "Name"}
	headers := make([]identity.Header, len(configured))
	for i, name := range configured {
		headers[i].Name = name
	}
	rw := New(headers, nil)
	for _, pattern := range slices.Concat(identityHeaders, configured, []string{"expect"}) {
		name := strings.TrimSuffix(pattern, "*")
		spellings := []string{name, strings.ToUpper(name), http.CanonicalHeaderKey(name), name + "x", name + "-*", name[1:]}
		for i := range name {
			for _, c := range "-_.aA*\u017f" {
				spellings = append(spellings, name[:i]+string(c)+name[i+1:])
			}
			spellings = append(spellings, name[:i]+strings.ToUpper(name[i:i+1])+name[i+1:], name[:i])
		}
		for _, spelling := range spellings {
			require.Equal(t, plainProtects(spelling, configured), rw.Protects(spelling), "%q", spelling)
			requireStripped(t, rw, http.Header{spelling: {"evil"}, "Accept": {"*/*"}}, configured...)
		}
	}
}

// TestAHeaderIsOfOneRequestAlone: another handler may change the values of a header, append to them and keep
// them. No other request sees that.
func TestAHeaderIsOfOneRequestAlone(t *testing.T) {
	values := []string{"Bearer a.b.c", "alice"}
	rw := New([]identity.Header{{Name: "Authorization"}, {Name: "X-User"}}, nil)
	inject := func() http.Header {
		h := http.Header{}
		with := new(credential.Credential)
		require.Equal(t, rw.Size(with, values), rw.Set(h, with, values, new([1]string)))
		return h
	}
	want := http.Header{"Authorization": {"Bearer a.b.c"}, "X-User": {"alice"}}
	first := inject()
	require.Equal(t, want, first)
	kept := maps.Clone(first)
	for name, values := range first {
		require.Len(t, values, 1)
		require.Equal(t, 1, cap(values), "append makes a new slice")
		first[name] = append(values, "evil")
		values[0] = "evil"
	}
	second := inject()
	require.Equal(t, want, second)
	for _, values := range kept {
		values[0] = "evil again"
	}
	require.Equal(t, want, second)
	require.Equal(t, want, inject())
	require.Equal(t, []string{"Bearer a.b.c", "alice"}, values)
}

// TestASecondAttemptChangesNothing that the first may still be reading: the header is where it was, and others are not
// touched.
func TestASecondAttemptChangesNothing(t *testing.T) {
	rw := New([]identity.Header{{Name: "Authorization"}}, nil)
	own, ok := OwnOf(http.Header{"Authorization": {"Basic YTpi"}})
	require.True(t, ok)
	for name, set := range map[string]func(http.Header, *[1]string) int{
		"a client": func(h http.Header, first *[1]string) int {
			return rw.Set(h, new(credential.Credential), []string{"Bearer a.b.c"}, first)
		},
		"credentials its own": own.Set,
	} {
		place := new([1]string)
		h := http.Header{"Accept": {"*/*"}, "Es-Security-Runas-User": {"evil"}}
		size, sent := rw.Sweep(h, place)
		require.False(t, sent, name)
		size += set(h, place)
		first := maps.Clone(h)
		again, sent := rw.Sweep(h, place)
		require.True(t, sent, name)
		require.Equal(t, size, again, name)
		require.Equal(t, first, h, name)

		h["Authorization"] = []string{h.Get("Authorization")} // not ours, though it looks so
		_, sent = rw.Sweep(h, place)
		require.False(t, sent, name)
		require.NotContains(t, h, "Authorization", name)
	}
}

// TestStripReportsWhatMayUpgrade: only a WebSocket may, and its headers stay.
func TestStripReportsWhatMayUpgrade(t *testing.T) {
	rw := New(nil, nil)
	asked := map[string]bool{"Upgrade": true, "close": false, "keep-alive, upgrade": true, "": false}
	for connection, want := range asked {
		for protocol, isWebSocket := range map[string]bool{"websocket": true, "WebSocket": true, "h2c": false} {
			r := &http.Request{Header: http.Header{"Connection": {connection}, "Upgrade": {protocol}}}
			found := rw.Strip(r)
			require.Equal(t, want && isWebSocket, found.Upgrade, "%s %s", connection, protocol)
			require.Equal(t, found.Upgrade, r.Header["Upgrade"] != nil)
		}
	}
}
