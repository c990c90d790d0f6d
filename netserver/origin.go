package netserver

import (
	"fmt"
	"strings"
)

// originAllowed decides on a request's Origin: none comes from no browser, the server's own host is allowed always, others by the
// list. An empty list refuses foreign origins.
func originAllowed(allowed []string, origin, host string) bool {
	if origin == "" {
		return true
	}
	_, own, ok := strings.Cut(origin, "://")
	if ok && strings.EqualFold(own, host) {
		return true
	}
	for _, pattern := range allowed {
		if originMatches(pattern, origin) {
			return true
		}
	}
	return false
}

// originMatches compares without regard to case; *. in a pattern stands for one or more labels.
func originMatches(pattern, origin string) bool {
	if pattern == "*" {
		return true
	}
	scheme, domain, wildcard := strings.Cut(strings.ToLower(pattern), "*.")
	origin = strings.ToLower(origin)
	if !wildcard {
		return origin == scheme
	}
	label, ok := strings.CutPrefix(origin, scheme)
	return ok && strings.HasSuffix(label, "."+domain) && len(label) > len(domain)+1 && !strings.ContainsAny(label, "/@")
}

func checkOriginPattern(p string) error {
	scheme, rest, ok := strings.Cut(p, "://")
	if p == "*" || ok && scheme != "" && rest != "" && !strings.ContainsAny(rest, "/ ") && strings.LastIndex(rest, "*") <= 0 {
		return nil
	}
	return fmt.Errorf("netserver: allowed origin %q is not a scheme and a host; write https://example.com, https://*.example.com or *", p)
}
