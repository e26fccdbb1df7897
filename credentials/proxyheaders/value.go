package proxyheaders

import (
	"errors"
	"fmt"
	"strings"
)

// join returns the value of the header with the groups, from which OpenSearch reads the same groups. It splits the value
// at each separator, trims the parts, and drops those that are empty.
func join(groups []string, separator string) (string, error) {
	for _, group := range groups {
		if err := checkName(group); err != nil {
			return "", fmt.Errorf("a group: %w", err)
		}
		if strings.Contains(group, separator) {
			return "", fmt.Errorf("a group has %q in it, which separates groups", separator)
		}
	}
	return strings.Join(groups, separator), nil
}

// checkName checks that OpenSearch reads a name from a header as it is. Its errors do not have the name in them.
//
//	Zoë       is UTF-8, which OpenSearch reads as ISO 8859-1: ZoÃ«
//	" alice"  loses the blank, and would be another user
func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("the name is empty")
	case strings.Trim(name, " ") != name:
		return errors.New("the name begins or ends with a blank, which a header loses")
	}
	for i := range len(name) {
		if name[i] < ' ' || name[i] > '~' {
			return errors.New("the name has something else in it than printable ASCII")
		}
	}
	return nil
}
