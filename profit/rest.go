package profit

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
)

const mediaJSON = "application/json"

// What the calls do, for people: "cannot …: reason".
const (
	opRequestOTP  = "ask for a code"
	opValidateOTP = "trade the code for a token"
	opVersion     = "verify the token"
	opMetaInfo    = "read the details of the token"
	opDeleteToken = "delete the token in Profit"
)

// otpFields are the body of OtpRequest and OtpValidation. What Profit calls apiToken is the environment key.
type otpFields struct {
	APIKey   string `json:"apiKey"`
	APIToken string `json:"apiToken"`
	UserID   string `json:"userId"`
	OTP      string `json:"otp,omitempty"`
}

// otpRequest asks for a code over REST. Success is an empty 200. An old help page says that the code is in it: any
// body is ignored.
func (c *Client) otpRequest(ctx context.Context, user string) error {
	if _, err := c.post(ctx, opRequestOTP, "OtpRequest", user, Secret{}); err != nil {
		return err
	}
	return nil
}

func (c *Client) otpValidation(ctx context.Context, user string, code Secret) (Token, error) {
	body, err := c.post(ctx, opValidateOTP, "OtpValidation", user, code)
	if err != nil {
		return Token{}, err
	}
	var answer struct {
		Token string `json:"token"`
	}
	token, why := Token{}, json.Unmarshal(body, &answer)
	if why != nil {
		why = shape(body, "an object in JSON with a token")
	} else {
		token, why = ParseToken(answer.Token)
	}
	if why != nil {
		return Token{}, garbled(request{op: opValidateOTP}, http.StatusOK, why)
	}
	return token, nil
}

// Version verifies a token by the cheapest call that needs one and returns Profit's version, such as "22.22.5".
func (c *Client) Version(ctx context.Context, token Token) (string, error) {
	var answer struct {
		Version string `json:"version"`
	}
	if err := c.get(ctx, opVersion, "ProfitVersion", token, &answer); err != nil {
		return "", err
	}
	if answer.Version == "" {
		return "", garbled(request{op: opVersion}, http.StatusOK, errors.New("it names no version"))
	}
	return presentable(answer.Version, nil), nil
}

// post makes one of the two calls that need the connector's keys in place of a token.
func (c *Client) post(ctx context.Context, op, function, user string, code Secret) ([]byte, *Error) {
	body, err := json.Marshal(otpFields{
		APIKey:   c.options.APIKey.Reveal(),
		APIToken: c.options.EnvironmentKey.Reveal(),
		UserID:   user,
		OTP:      code.Reveal(),
	})
	if err != nil {
		return nil, unconfigured(op, "the request cannot be written as JSON")
	}
	return c.send(ctx, request{
		op:      op,
		method:  http.MethodPost,
		url:     c.rest(function),
		header:  map[string]string{"Accept": mediaJSON, "Content-Type": mediaJSON},
		body:    body,
		secrets: []string{c.options.APIKey.Reveal(), c.options.EnvironmentKey.Reveal(), code.Reveal()},
		ignore:  code.IsZero(),
	})
}

// get makes an authenticated call and reads its answer, an object in JSON.
func (c *Client) get(ctx context.Context, op, function string, token Token, answer any) error {
	r := request{
		op:      op,
		method:  http.MethodGet,
		url:     c.rest(function),
		header:  map[string]string{"Accept": mediaJSON, "Content-Type": mediaJSON, "Authorization": token.Authorization()},
		secrets: tokenSecrets(token),
	}
	body, err := c.send(ctx, r)
	if err != nil {
		return err
	}
	if json.Unmarshal(body, answer) != nil {
		return garbled(r, http.StatusOK, shape(body, "the object in JSON that was asked for"))
	}
	return nil
}

func (c *Client) rest(function string) string {
	return strings.TrimRight(c.options.BaseURL, "/") + "/" + function
}

// tokenSecrets are the forms in which an answer could echo a token.
func tokenSecrets(t Token) []string {
	data := strings.TrimSuffix(strings.TrimPrefix(t.Secret(), "<token><version>1</version><data>"), "</data></token>")
	return []string{t.Secret(), base64.StdEncoding.EncodeToString([]byte(t.Secret())), data}
}
