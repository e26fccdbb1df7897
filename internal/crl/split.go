package crl

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/pemfile"
	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/textfile"
)

// split returns the DER of each list in the input.
func split(data []byte) ([][]byte, error) {
	text, err := textfile.Decode(data)
	if err != nil {
		return nil, err
	}
	text = bytes.TrimSpace(text)
	switch {
	case len(data) > MaxSize:
		return nil, fmt.Errorf("it has %d bytes, more than %d", len(data), MaxSize)
	case len(text) == 0:
		return nil, errors.New("it is empty: put the authority's list there, as DER or PEM")
	case isDER(data):
		return [][]byte{data}, nil
	}
	begun := pemfile.Count(text)
	switch {
	case begun == 0 && text[0] == '<':
		return nil, errors.New("it is a web page, not a list: check its address")
	case begun == 0:
		return nil, errors.New("it is neither DER nor PEM: a list in PEM begins with -----BEGIN X509 CRL-----")
	case begun > MaxLists:
		return nil, fmt.Errorf("more than %d lists in one input: split it", MaxLists)
	}
	blocks, damaged := pemfile.Blocks(text)
	lists := make([][]byte, len(blocks))
	for i, block := range blocks {
		switch block.Type {
		case "X509 CRL":
			lists[i] = block.Bytes
		case "CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE":
			if _, err := parseList(block.Bytes); err == nil {
				return nil, fmt.Errorf("it has a revocation list under the label %s: write -----BEGIN X509 CRL-----, "+
					"and the same after END", block.Type)
			}
			return nil, errCertificate
		default:
			return nil, fmt.Errorf("it has a PEM block %.40q: "+
				"leave only the blocks -----BEGIN X509 CRL----- in it", block.Type)
		}
	}
	if damaged > 0 {
		return nil, pemfile.ErrDamaged
	}
	return lists, nil
}

var errCertificate = errors.New("it is a certificate, not a revocation list: " +
	"use the list that the authority publishes; " +
	"its address is in the CRL distribution points of the certificates")

// isDER reports whether the input begins with a SEQUENCE of more than 127 bytes in
// DER, as every list does. No text begins like this.
func isDER(data []byte) bool { return len(data) > 1 && data[0] == 0x30 && data[1] >= 0x80 }
