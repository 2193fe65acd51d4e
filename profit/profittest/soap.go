package profittest

import (
	"encoding/xml"
	"errors"
	"net/http"
	"strconv"
	"strings"
)

const (
	namespace     = "urn:Afas.Profit.Services"
	soapNamespace = "http://schemas.xmlsoap.org/soap/envelope/"
)

// functions of TokenConnector.asmx, with their parameters.
var functions = map[string][]string{
	"GenerateOTP":     {"userId", "apiKey", "environmentKey", "description"},
	"GetTokenFromOTP": {"userId", "apiKey", "environmentKey", "otp"},
	"DeleteToken":     {"token"},
}

type soapRequest struct {
	XMLName xml.Name `xml:"http://schemas.xmlsoap.org/soap/envelope/ Envelope"`
	Body    struct {
		Call struct {
			XMLName    xml.Name
			Parameters []struct {
				XMLName xml.Name
				Value   string `xml:",chardata"`
			} `xml:",any"`
		} `xml:",any"`
	} `xml:"http://schemas.xmlsoap.org/soap/envelope/ Body"`
}

// readSOAP reads a call. The function is named twice, by the header SOAPAction and in the body, and the parameters
// have to be there in order.
func (in *incoming) readSOAP(r *http.Request, body []byte) {
	action, named := strings.CutPrefix(strings.Trim(r.Header.Get("SOAPAction"), `"`), namespace+"/")
	parameters, known := functions[action]
	if r.Method != http.MethodPost || !named || !known {
		return
	}
	in.name = action
	var envelope soapRequest
	err := xml.Unmarshal(body, &envelope)
	call := envelope.Body.Call
	if err != nil || call.XMLName != (xml.Name{Space: namespace, Local: action}) || len(call.Parameters) != len(parameters) {
		in.bad = errors.New("the body is not this function's")
		return
	}
	values := make(map[string]string)
	for i, p := range call.Parameters {
		if p.XMLName != (xml.Name{Space: namespace, Local: parameters[i]}) {
			in.bad = errors.New("the parameters are not this function's")
			return
		}
		values[p.XMLName.Local] = p.Value
	}
	in.otp.user, in.otp.apiKey, in.otp.environmentKey = values["userId"], values["apiKey"], values["environmentKey"]
	in.otp.device, in.otp.code = values["description"], values["otp"]
	in.token = values["token"]
}

// soap answers a call of TokenConnector.asmx.
func (p *Profit) soap(in *incoming) Answer {
	switch in.name {
	case "GenerateOTP":
		if in.missing(in.otp.apiKey, in.otp.environmentKey, in.otp.user, in.otp.device) {
			return status(http.StatusBadRequest).soap()
		}
		if no := p.requestCode(in.otp); no != nil {
			return no.soap()
		}
		return result(in.name, "")
	case "GetTokenFromOTP":
		if in.missing(in.otp.apiKey, in.otp.environmentKey, in.otp.user, in.otp.code) {
			return status(http.StatusBadRequest).soap()
		}
		token, no := p.tradeCode(in.otp)
		if no != nil {
			return no.soap()
		}
		return result(in.name, token.XML)
	case "DeleteToken":
		if in.missing(in.token) {
			return status(http.StatusBadRequest).soap()
		}
		if !p.DeleteToken(in.token) {
			return status(http.StatusUnauthorized).soap()
		}
		return result(in.name, "")
	default:
		return status(http.StatusNotFound).soap()
	}
}

func result(function, value string) Answer {
	return inXML(http.StatusOK, "<"+function+`Response xmlns="`+namespace+`"><`+function+"Result>"+
		escape(value)+"</"+function+"Result></"+function+"Response>")
}

// soap says no as the SOAP services do: with a fault, if it is a refusal on content.
func (no *refusal) soap() Answer {
	if no.status != http.StatusInternalServerError {
		return Answer{Status: no.status}
	}
	return inXML(no.status, "<soap:Fault><faultcode>soap:Server</faultcode><faultstring>"+escape(no.message)+
		"</faultstring><detail><ProfitApplicationException><ErrorNumber>"+strconv.Itoa(errorNumber)+"</ErrorNumber><Message>"+
		escape(no.message)+"</Message><ProfitLogReference>"+randomHex(16)+
		"</ProfitLogReference></ProfitApplicationException></detail></soap:Fault>")
}

func inXML(status int, body string) Answer {
	return Answer{
		Status: status,
		Header: map[string]string{"Content-Type": "text/xml; charset=utf-8"},
		Body: `<?xml version="1.0" encoding="utf-8"?><soap:Envelope xmlns:soap="` + soapNamespace + `"><soap:Body>` +
			body + `</soap:Body></soap:Envelope>`,
	}
}

func escape(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a strings.Builder takes everything
	return b.String()
}
