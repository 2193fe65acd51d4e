package profit

import (
	"bytes"
	"context"
	"encoding/xml"
	"net/http"
	"strings"
)

const soapNamespace = "urn:Afas.Profit.Services"

// parameter is one element of a SOAP call. Their order matters.
type parameter struct{ name, value string }

// generateOTP asks for a code and names the device, over SOAP. As over REST, what a 200 says does not matter, unless
// it is a refusal.
func (c *Client) generateOTP(ctx context.Context, user string) error {
	_, err := c.soap(ctx, opRequestOTP, "GenerateOTP", []parameter{
		{"userId", user},
		{"apiKey", c.options.APIKey.Reveal()},
		{"environmentKey", c.options.EnvironmentKey.Reveal()},
		{"description", c.options.Device},
	}, nil)
	if err != nil && err.Kind != Garbled {
		return err
	}
	return nil
}

func (c *Client) getTokenFromOTP(ctx context.Context, user string, code Secret) (Token, error) {
	result, err := c.soap(ctx, opValidateOTP, "GetTokenFromOTP", []parameter{
		{"userId", user},
		{"apiKey", c.options.APIKey.Reveal()},
		{"environmentKey", c.options.EnvironmentKey.Reveal()},
		{"otp", code.Reveal()},
	}, []string{code.Reveal()})
	if err != nil {
		return Token{}, err
	}
	token, why := ParseToken(result)
	if why != nil {
		return Token{}, garbled(request{op: opValidateOTP}, http.StatusOK, why)
	}
	return token, nil
}

// DeleteToken withdraws a token in Profit, over SOAP: REST has no counterpart. Without a SOAP URL the error's Kind is
// NotConfigured; the token is then to be deleted in Profit by a person: General / Management / App connector /
// properties / User tokens.
func (c *Client) DeleteToken(ctx context.Context, token Token) error {
	parameters := []parameter{{"token", token.Secret()}}
	if _, err := c.soap(ctx, opDeleteToken, "DeleteToken", parameters, tokenSecrets(token)); err != nil {
		return err
	}
	return nil
}

// soap calls a function of TokenConnector.asmx and returns its result.
func (c *Client) soap(ctx context.Context, op, function string, parameters []parameter, secrets []string) (string, *Error) {
	if c.options.SOAPURL == "" {
		return "", unconfigured(op, "there is no SOAP URL")
	}
	if _, err := NormalizeURL(c.options.SOAPURL); err != nil {
		return "", unconfigured(op, "SOAP URL: "+err.Error())
	}
	r := request{
		op:     op,
		method: http.MethodPost,
		url:    strings.TrimRight(c.options.SOAPURL, "/") + "/TokenConnector.asmx",
		header: map[string]string{
			"Accept":       "text/xml",
			"Content-Type": "text/xml; charset=utf-8",
			"SOAPAction":   `"` + soapNamespace + "/" + function + `"`,
		},
		body:    envelope(function, parameters),
		secrets: append(secrets, c.options.APIKey.Reveal(), c.options.EnvironmentKey.Reveal()),
	}
	body, err := c.send(ctx, r)
	if err != nil {
		return "", err
	}
	if fault := readFault(body); fault != nil {
		return "", &Error{
			Op:           op,
			Kind:         Refused,
			Status:       http.StatusOK,
			Message:      presentable(fault.message(), r.secrets),
			LogReference: reference(fault.LogReference, r.secrets),
			Reached:      Yes,
		}
	}
	result, why := readResult(body, function)
	if why != nil {
		return "", garbled(r, http.StatusOK, why)
	}
	return result, nil
}

func envelope(function string, parameters []parameter) []byte {
	var b bytes.Buffer
	b.WriteString(xml.Header)
	b.WriteString(`<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body>`)
	b.WriteString(`<` + function + ` xmlns="` + soapNamespace + `">`)
	for _, p := range parameters {
		b.WriteString("<" + p.name + ">")
		_ = xml.EscapeText(&b, []byte(p.value)) // a bytes.Buffer takes everything
		b.WriteString("</" + p.name + ">")
	}
	b.WriteString(`</` + function + `></soap:Body></soap:Envelope>`)
	return b.Bytes()
}

// fault is a SOAP 1.1 fault. Its detail is what Profit's other SOAP services put there, where it is there.
type fault struct {
	String       string `xml:"faultstring"`
	Message      string `xml:"detail>ProfitApplicationException>Message"`
	LogReference string `xml:"detail>ProfitApplicationException>ProfitLogReference"`
}

func (f *fault) message() string {
	for _, text := range []string{f.Message, f.String} {
		if strings.TrimSpace(text) != "" {
			return text
		}
	}
	return "a SOAP fault without a text"
}

// readFault returns nil if the body is no fault.
func readFault(body []byte) *fault {
	var answer struct {
		XMLName xml.Name
		Fault   *fault `xml:"Body>Fault"`
	}
	if xml.Unmarshal(body, &answer) != nil || answer.XMLName.Local != "Envelope" {
		return nil
	}
	return answer.Fault
}

// readResult returns the value of a function: the text of its element <Function>Result, "" if there is none.
func readResult(body []byte, function string) (string, error) {
	var answer element
	if xml.Unmarshal(body, &answer) == nil && answer.XMLName.Local == "Envelope" {
		if response := answer.child("Body").child(function + "Response"); response != nil {
			if result := response.child(function + "Result"); result != nil {
				return result.Text, nil
			}
			return "", nil
		}
	}
	return "", shape(body, "a SOAP answer to "+function)
}

// element is XML whatever its name.
type element struct {
	XMLName  xml.Name
	Text     string    `xml:",chardata"`
	Children []element `xml:",any"`
}

// child returns the first child of a name, nil if there is none.
func (e *element) child(name string) *element {
	if e == nil {
		return nil
	}
	for i := range e.Children {
		if e.Children[i].XMLName.Local == name {
			return &e.Children[i]
		}
	}
	return nil
}
