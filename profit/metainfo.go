package profit

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// MetaInfo is what Profit tells about a token.
type MetaInfo struct {
	Environment string    // envid
	App         string    // appName: the app connector's description
	Group       string    // the app connector's user group
	Expiry      time.Time // when the token stops working; zero if never, or if RawExpiry is not understood
	RawExpiry   string    // tokenExpiry as Profit sends it: its format is not documented, "0" means none
}

// MetaInfo asks Profit about a token, foremost when it expires.
func (c *Client) MetaInfo(ctx context.Context, token Token) (MetaInfo, error) {
	var answer struct {
		Info map[string]any `json:"info"`
	}
	if err := c.get(ctx, opMetaInfo, "MetaInfo", token, &answer); err != nil {
		return MetaInfo{}, err
	}
	if answer.Info == nil {
		return MetaInfo{}, garbled(request{op: opMetaInfo}, http.StatusOK, errors.New("it has no info"))
	}
	field := func(name string) string { return presentable(scalar(answer.Info[name]), tokenSecrets(token)) }
	raw := field("tokenExpiry")
	return MetaInfo{
		Environment: field("envid"),
		App:         field("appName"),
		Group:       field("group"),
		Expiry:      parseExpiry(raw),
		RawExpiry:   raw,
	}, nil
}

// scalar gives a string or a number as text, anything else as none.
func scalar(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	default:
		return ""
	}
}

// expiryLayouts are tried in this order. Times without a zone are taken as UTC and dates as their first moment: an
// hour or a day too early does no harm.
var expiryLayouts = []string{
	time.RFC3339,
	"2006-01-02T15:04:05",
	"2006-01-02 15:04:05",
	"2006-01-02",
	"20060102",
	"02-01-2006 15:04:05",
	"02-01-2006",
	"2-1-2006",
}

// parseExpiry reads tokenExpiry in whatever way it may be written. What lies before this century is a way to say
// "none", like the year 1 of .NET.
func parseExpiry(raw string) time.Time {
	text := strings.TrimSpace(raw)
	var expiry time.Time
	for _, layout := range expiryLayouts {
		if t, err := time.Parse(layout, text); err == nil {
			expiry = t
			break
		}
	}
	if expiry.IsZero() {
		expiry = parseUnix(text)
	}
	if expiry.Year() < 2000 || expiry.Year() > 9999 {
		return time.Time{}
	}
	return expiry.UTC()
}

// parseUnix reads seconds since 1970, or milliseconds where the number is too large for that.
func parseUnix(text string) time.Time {
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err != nil || n <= 0:
		return time.Time{}
	case n < 1e11:
		return time.Unix(n, 0)
	default:
		return time.UnixMilli(n)
	}
}
