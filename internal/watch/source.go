package watch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// fetchTimeout is how long the answer of a URL may take.
const fetchTimeout = 10 * time.Second

// errEmptied says that a file that is written all the time was empty at each reading.
var errEmptied = errors.New("it is emptied again and again: write it to another file that is then renamed to this one")

// File returns the source of a file. The errors of its Load do not have the file's name in them.
func File(name string) Source {
	return Source{
		Name: name, Path: name, Interval: fileInterval, Settles: true,
		Load: func(context.Context) ([]byte, error) { return ReadFile(name) },
	}
}

// Variable returns the source of what a function returns, such as a variable of the environment.
func Variable(name string, load func() (string, error)) Source {
	return Source{
		Name: name, Interval: fileInterval, Settles: true,
		Load: func(context.Context) ([]byte, error) {
			value, err := load()
			return []byte(value), err
		},
	}
}

// URL returns the source of a URL, whose content has at most limit bytes. The address can have a password in it,
// so the name for logs is another argument.
func URL(name, address string, limit int64) Source {
	return Source{
		Name: name, Interval: urlInterval,
		Load: func(ctx context.Context) ([]byte, error) { return fetch(ctx, address, limit) },
	}
}

// fetch gets a file by HTTP. Its errors do not have the URL in them, which can have a password in it.
func fetch(ctx context.Context, address string, limit int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, errors.New("the URL cannot be read")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, withoutURL(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the answer is %s", res.Status)
	}
	content, err := io.ReadAll(io.LimitReader(res.Body, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(content)) > limit {
		return nil, fmt.Errorf("it has more than %d bytes", limit)
	}
	return content, nil
}

// withoutURL returns what an error of net/http says, without the URL.
func withoutURL(err error) error {
	for {
		e, ok := errors.AsType[*url.Error](err)
		if !ok {
			return err
		}
		err = e.Err
	}
}
