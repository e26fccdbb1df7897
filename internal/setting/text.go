package setting

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Default sets a text that is empty.
func Default(s *string, value string) {
	if *s == "" {
		*s = value
	}
}

// Short renders a duration without the zeros that time.Duration adds: 24h, not 24h0m0s.
func Short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// AllOf are the settings of a module, as JSON.
func AllOf(module any) string {
	settings, err := json.Marshal(module)
	if err != nil {
		return fmt.Sprintf("%p", module)
	}
	return string(settings)
}
