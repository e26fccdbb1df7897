package trustpool

import (
	"bytes"
	"encoding/json"
)

// poolConfig is the configuration of a source that has files in it, or other sources.
type poolConfig struct {
	Provider string            `json:"provider,omitempty"`
	PEMFiles []string          `json:"pem_files,omitempty"`
	Sources  []json.RawMessage `json:"sources,omitempty"`
}

// FilesOf returns the files of a pool whose source is `file`, or `combined` with such sources in it. others is the
// configuration of what else a combined pool has, or nil. A pool without files is left to Caddy as a whole, and so is
// one that cannot be read, for Caddy to say why.
//
//	file a.pem b.pem                                 a.pem and b.pem
//	combined { source file a.pem; source inline …}   a.pem, and others with the source inline
//	http https://pki.example.com/ca.pem              none
func FilesOf(raw json.RawMessage) (names []string, others json.RawMessage, err error) {
	var pool poolConfig
	if unmarshalStrictly(raw, &pool) != nil {
		return nil, nil, nil //nolint:nilerr // another source has other settings
	}
	switch {
	case pool.Provider == "file" && pool.Sources == nil:
		return pool.PEMFiles, nil, nil
	case pool.Provider != "combined" || pool.PEMFiles != nil:
		return nil, nil, nil
	}
	var rest poolConfig
	for _, source := range pool.Sources {
		var one poolConfig
		if unmarshalStrictly(source, &one) == nil && one.Provider == "file" && one.Sources == nil {
			names = append(names, one.PEMFiles...)
		} else {
			rest.Sources = append(rest.Sources, source)
		}
	}
	if len(rest.Sources) == 0 {
		return names, nil, nil
	}
	others, err = json.Marshal(rest)
	return names, others, err
}

// unmarshalStrictly takes a member that it does not know for an error.
func unmarshalStrictly(raw json.RawMessage, v any) error {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	return decoder.Decode(v)
}
