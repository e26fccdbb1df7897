package retry

import (
	"bytes"
	"io"
	"net/http"
	"sync"
)

// maxBody is how much of a request's body is kept, to be sent once more.
const maxBody = 64 << 10

// keptBody is a request's body that keeps what is read of it, up to maxBody. It never reads by itself: if
// no node could be reached, the body is still unread and can go to another one.
type keptBody struct {
	io.ReadCloser
	length int64 // of the whole body; zero or less if it is not known

	mu    sync.Mutex // net/http may still be sending the body when the answer has come
	read  bytes.Buffer
	lost  bool // it was more than maxBody
	ended bool
}

// keepBody makes a request keep its body. It returns nil if the request has none.
func keepBody(req *http.Request) *keptBody {
	if req.Body == nil || req.Body == http.NoBody {
		return nil
	}
	kept := &keptBody{ReadCloser: req.Body, length: req.ContentLength}
	req.Body = kept
	req.GetBody = nil
	return kept
}

func (k *keptBody) Read(p []byte) (int, error) {
	n, err := k.ReadCloser.Read(p)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.read.Len()+n > maxBody {
		k.lost = true
		k.read = bytes.Buffer{}
	}
	if !k.lost {
		k.read.Write(p[:n])
	}
	// A node can answer as soon as it has the whole body, before net/http has come to read EOF.
	k.ended = k.ended || err == io.EOF || k.length > 0 && int64(k.read.Len()) == k.length
	return n, err
}

// whole returns the body, to be read from its beginning. ok is false if not all of it was kept: it was too
// long, or the node answered before it had read the whole body. A nil keptBody stands for no body.
func (k *keptBody) whole() (body io.ReadCloser, ok bool) {
	if k == nil {
		return nil, true
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.lost || !k.ended {
		return nil, false
	}
	return io.NopCloser(bytes.NewReader(k.read.Bytes())), true
}
