package profittest_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/profitd/profitd/profit/profittest"
)

// An application signs in to Profit over TLS: it asks for a code, takes it from the mail, trades it for a token, and
// reads the rows of a GetConnector with that.
func Example() {
	p := profittest.NewServer()
	defer p.Close()
	connector := p.AddConnector(profittest.Connector{
		Description: "Payroll desktop",
		Group:       "payroll",
		GetConnectors: map[string][]map[string]any{
			"Employees": {{"Name": "Jan Jansen"}},
		},
	})
	p.AddUser(profittest.User{ID: "12345.jan", Email: "jan@example.com", Groups: []string{"payroll"}})

	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(p.RootCA())
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	defer client.CloseIdleConnections()
	request := map[string]string{
		"apiKey":   connector.APIKey,
		"apiToken": connector.EnvironmentKey,
		"userId":   "12345.jan",
	}
	post := func(function string) []byte {
		body, _ := json.Marshal(request)
		response, err := client.Post(p.URL()+"/"+function, "application/json", bytes.NewReader(body))
		if err != nil {
			panic(err)
		}
		defer response.Body.Close()
		answer, _ := io.ReadAll(response.Body)
		fmt.Println(function, response.StatusCode)
		return answer
	}

	post("OtpRequest")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	mail, err := p.WaitMail(ctx, "12345.jan")
	if err != nil {
		panic(err)
	}
	fmt.Printf("mail to %s: %s\n", mail.To, mail.Subject)

	request["otp"] = mail.Code
	var answer struct{ Token string }
	if err := json.Unmarshal(post("OtpValidation"), &answer); err != nil {
		panic(err)
	}

	// Tokens gives the header; an application makes it from the answer, without the line end.
	token := p.Tokens()[0]
	fmt.Println("the same token:", strings.TrimSpace(answer.Token) == token.XML)
	get, _ := http.NewRequest(http.MethodGet, p.URL()+"/connectors/Employees", nil)
	get.Header.Set("Authorization", token.Authorization())
	response, err := client.Do(get)
	if err != nil {
		panic(err)
	}
	defer response.Body.Close()
	rows, _ := io.ReadAll(response.Body)
	fmt.Println(response.StatusCode, string(rows))

	// Output:
	// OtpRequest 200
	// mail to jan@example.com: Activation code for Payroll desktop
	// OtpValidation 200
	// the same token: true
	// 200 {"rows":[{"Name":"Jan Jansen"}],"skip":0,"take":100}
}

// Faults make Profit do what an application has to cope with, here without sockets.
func ExampleProfit_Fault() {
	p := profittest.NewProfit()
	p.Fault(profittest.Fault{Call: "ProfitVersion", Times: 1, Answer: profittest.Maintenance(2 * time.Hour)})
	p.Fault(profittest.Fault{Call: "ProfitVersion", Cut: profittest.CutBefore})

	client := &http.Client{Transport: p.Transport()}
	for range 2 {
		response, err := client.Get("https://12345.rest.afas.online/ProfitRestServices/ProfitVersion")
		if err != nil {
			fmt.Println("no answer")
			continue
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		fmt.Println(response.StatusCode, string(body))
	}

	// Output:
	// 503 {"error": {"code": 503, "message": "Service unavailable"}, "retry_after": 7200}
	// no answer
}
