package routes

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// sites are the hosts, and the servers where there is none, for which something is in the configuration.
type sites map[string]bool

func (s *sites) add(at place) {
	if *s == nil {
		*s = make(sites)
	}
	for _, host := range at.hosts {
		(*s)[host] = true
	}
	if len(at.hosts) == 0 {
		(*s)["server "+at.server] = true
	}
}

// maxNamed is how many sites an error or a warning names.
const maxNamed = 10

// named returns the sites in their order; if there are many, the first of them.
func (s sites) named() []string {
	names := slices.Sorted(maps.Keys(s))
	if len(names) > maxNamed {
		names = append(names[:maxNamed], fmt.Sprintf("and %d more", len(names)-maxNamed))
	}
	return names
}

func (s sites) String() string { return strings.Join(s.named(), ", ") }
