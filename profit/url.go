package profit

import (
	"fmt"
	"net/url"
	"strings"
)

// BaseURL is where an environment's REST services live: five digits and one of production, test, accept, cursus.
func BaseURL(environment, environmentType string) (string, error) {
	return serviceURL(environment, environmentType, "rest", "ProfitRestServices")
}

// SOAPURL is where an environment's SOAP services live.
func SOAPURL(environment, environmentType string) (string, error) {
	return serviceURL(environment, environmentType, "soap", "ProfitServices")
}

func serviceURL(environment, environmentType, service, path string) (string, error) {
	if len(environment) != 5 || strings.Trim(environment, "0123456789") != "" {
		return "", fmt.Errorf("an environment has five digits, such as 12345")
	}
	suffix := environmentType
	switch environmentType {
	case "production":
		suffix = ""
	case "test", "accept", "cursus":
	default:
		return "", fmt.Errorf("a type is one of production, test, accept, cursus")
	}
	return fmt.Sprintf("https://%s.%s%s.afas.online/%s", environment, service, suffix, path), nil
}

// NormalizeURL gives the one spelling under which URLs of Profit are compared: scheme and host in lower case, no
// default port, no trailing slash, path in lower case (Profit does not tell cases apart there). Only an https URL
// without user, query and fragment is one.
func NormalizeURL(raw string) (string, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Hostname() == "" || u.Opaque != "":
		return "", fmt.Errorf("this is no URL such as https://12345.rest.afas.online/ProfitRestServices")
	case !strings.EqualFold(u.Scheme, "https"):
		return "", fmt.Errorf("a URL of Profit starts with https: Profit is never called without TLS")
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "", fmt.Errorf("a URL of Profit has no user name, query or fragment")
	}
	host := strings.TrimSuffix(strings.ToLower(u.Host), ":443")
	path := strings.TrimRight(strings.ToLower(u.EscapedPath()), "/")
	return "https://" + host + path, nil
}
