package profittest

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	mediaJSON = "application/json; charset=utf-8"
	version   = "22.22.5"
	envid     = "O12345AA"
)

// readOTP reads the body of OtpRequest and OtpValidation. encoding/json ignores case: userId may be spelled userid.
func (in *incoming) readOTP(body []byte) {
	var fields struct{ APIKey, APIToken, UserID, OTP string }
	if in.bad == nil && json.Unmarshal(body, &fields) != nil {
		in.bad = errors.New("the body is no JSON")
	}
	in.otp.apiKey, in.otp.environmentKey = fields.APIKey, fields.APIToken
	in.otp.user, in.otp.code = fields.UserID, fields.OTP
}

func (in *incoming) missing(values ...string) bool {
	return in.bad != nil || slices.Contains(values, "")
}

// rest answers a call of the REST services.
func (p *Profit) rest(in *incoming) Answer {
	switch in.name {
	case "OtpRequest":
		if in.missing(in.otp.apiKey, in.otp.environmentKey, in.otp.user) {
			return status(http.StatusBadRequest).rest()
		}
		if no := p.requestCode(in.otp); no != nil {
			return no.rest()
		}
		return Answer{Header: map[string]string{"Content-Type": "application/xml"}}
	case "OtpValidation":
		if in.missing(in.otp.apiKey, in.otp.environmentKey, in.otp.user, in.otp.code) {
			return status(http.StatusBadRequest).rest()
		}
		token, no := p.tradeCode(in.otp)
		if no != nil {
			return no.rest()
		}
		return inJSON(http.StatusOK, map[string]string{"token": token.XML + "\r\n"})
	}
	token, connector, no := p.authorize(in.header.Get("Authorization"), in.from)
	if no != nil {
		return no.rest()
	}
	switch in.name {
	case "ProfitVersion":
		return inJSON(http.StatusOK, map[string]string{"version": version})
	case "MetaInfo":
		return inJSON(http.StatusOK, p.metaInfo(token, connector))
	case "connectors":
		return rows(connector, in.get)
	default:
		return status(http.StatusNotFound).rest()
	}
}

func (p *Profit) metaInfo(t Token, c Connector) any {
	type connector struct {
		ID          string `json:"id"`
		Description string `json:"description"`
	}
	gets := make([]connector, 0, len(c.GetConnectors))
	for id := range c.GetConnectors {
		gets = append(gets, connector{id, id})
	}
	slices.SortFunc(gets, func(a, b connector) int { return strings.Compare(a.ID, b.ID) })
	p.mu.Lock()
	layout := p.behaviour.ExpiryLayout
	p.mu.Unlock()
	if layout == "" {
		layout = time.DateOnly
	}
	expiry := "0"
	if !t.ExpiresAt.IsZero() {
		expiry = t.ExpiresAt.Format(layout)
	}
	return map[string]any{
		"updateConnectors": []connector{},
		"getConnectors":    gets,
		"info":             map[string]string{"envid": envid, "appName": c.Description, "group": c.Group, "tokenExpiry": expiry},
	}
}

// rows answers a GetConnector. One that is not linked to the token's app connector gets 401.
func rows(c Connector, id string) Answer {
	for name, rows := range c.GetConnectors {
		if strings.EqualFold(name, id) {
			if rows == nil {
				rows = []map[string]any{}
			}
			return inJSON(http.StatusOK, map[string]any{"skip": 0, "take": 100, "rows": rows})
		}
	}
	return status(http.StatusUnauthorized).rest()
}

// rest says no as the REST services do: without a body, unless it is a refusal on content.
func (no *refusal) rest() Answer {
	if no.status != http.StatusInternalServerError {
		return Answer{Status: no.status}
	}
	return inJSON(no.status, map[string]any{
		"externalMessage":    no.message,
		"errorNumber":        errorNumber,
		"profitLogReference": randomHex(16),
	})
}

// errorNumber is the one of AFAS's example. It says nothing useful.
const errorNumber = -2147220469

func inJSON(status int, value any) Answer {
	body, err := json.Marshal(value)
	if err != nil {
		panic("profittest: the rows of a GetConnector have to be fit for JSON: " + err.Error())
	}
	return Answer{Status: status, Header: map[string]string{"Content-Type": mediaJSON}, Body: string(body)}
}
