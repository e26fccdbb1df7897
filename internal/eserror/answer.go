package eserror

import (
	"fmt"
	"html"
	"mime"
	"net/http"
	"strconv"
	"strings"
)

// Write answers a request with an error: in the form of Elasticsearch's own, or, if a person's browser asks, as a
// short page with the same text. The answer to a HEAD has no body.
//
// It flushes the answer. If over HTTP/2 a body is still being sent, net/http would send the end of the answer and
// RST_STREAM in one go (RFC 9113 section 8.1), and curl 7.88 then shows nothing of the answer, one time in ten.
func Write(w http.ResponseWriter, r *http.Request, status int, kind, reason string) {
	body := Body(status, kind, reason)
	if wantsPage(r.Header.Values("Accept")) {
		describePage(w.Header())
		body = page(status, reason)
	} else {
		describeJSON(w.Header())
	}
	w.Header().Add("Vary", "Accept")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the client may have gone
	}
	if r.ProtoMajor == 2 && r.ContentLength != 0 {
		_ = http.NewResponseController(w).Flush()
	}
}

// describeJSON sets the headers of an error in Elasticsearch's form.
func describeJSON(h http.Header) { describe(h, "application/json") }

// describePage sets the headers of a page. It needs nothing from anywhere, and may have nothing.
func describePage(h http.Header) {
	describe(h, "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
}

func describe(h http.Header, contentType string) {
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-store") // the next request of this kind may be let in
	h.Set("X-Content-Type-Options", "nosniff")
}

// wantsPage reports whether the values of Accept (RFC 9110 section 12.5.1) are those of a browser that shows a page.
// The clients of Elasticsearch ask for JSON, and programs such as curl for anything. Programs in Java that say nothing
// ask for "text/html, image/gif, image/jpeg, */*; q=0.2" as Java 17 does, and read JSON all the same. So who takes
// anything gets a page only if XHTML is named too, as browsers do.
func wantsPage(accept []string) bool {
	var page, xhtml, anything bool
	for _, value := range accept {
		for one := range strings.SplitSeq(value, ",") {
			mediaType, params, err := mime.ParseMediaType(one)
			if err != nil || isZero(params["q"]) {
				continue
			}
			switch {
			case mediaType == "application/json", strings.HasSuffix(mediaType, "+json"):
				return false
			case mediaType == "text/html":
				page = true
			case mediaType == "application/xhtml+xml":
				xhtml = true
			case mediaType == "*/*":
				anything = true
			}
		}
	}
	return page && (xhtml || !anything)
}

// isZero reports whether a weight means "not acceptable".
func isZero(weight string) bool {
	q, err := strconv.ParseFloat(weight, 64)
	return err == nil && q == 0
}

const pageFormat = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>%[1]s</title>
</head>
<body>
<h1>%[1]s</h1>
<p>%[2]s</p>
</body>
</html>
`

// page returns a page that says what Body does.
func page(status int, reason string) []byte {
	title := fmt.Sprintf("%d %s", status, http.StatusText(status))
	return fmt.Appendf(nil, pageFormat, html.EscapeString(title), html.EscapeString(reason))
}
